/* SPDX-License-Identifier: Apache-2.0 */
#include "proto_exemplar.h"

#include "put.h"
#include "timestamp.h"

enum { LABEL = 1, VALUE = 2, TIMESTAMP = 3 }; /* of Exemplar */
enum { LABEL_NAME = 1, LABEL_VALUE = 2 };     /* of LabelPair */

static const char SPAN_ID[] = "span_id";
static const char TRACE_ID[] = "trace_id";

static struct shm_timestamp time_of(const struct shm_exemplar *exemplar)
{
    const uint64_t second_ns = UINT64_C(1000000000);
    return (struct shm_timestamp){exemplar->stamp_ns / second_ns, exemplar->stamp_ns % second_ns};
}

/* Returns the size of a label whose value is n_bytes in hexadecimal digits. */
static size_t pair_bytes(const char *name, size_t n_bytes)
{
    return shm_wire_bytes(strlen(name)) + shm_wire_bytes(2 * n_bytes);
}

static char *put_label(char *out, const char *name, const uint8_t *bytes, size_t n_bytes)
{
    out = shm_wire_opening(out, LABEL, pair_bytes(name, n_bytes));
    out = shm_wire_opening(out, LABEL_NAME, strlen(name));
    out = shm_put_string(out, name);
    out = shm_wire_opening(out, LABEL_VALUE, 2 * n_bytes);
    return shm_put_hex(out, bytes, n_bytes);
}

/* Returns the size of the message, without tag and length. */
static size_t inner_bytes(const struct shm_exemplar *exemplar)
{
    const struct shm_trace *trace = &exemplar->trace;
    size_t span = 0;
    if (shm_exemplar_has_span(exemplar))
        span = shm_wire_bytes(pair_bytes(SPAN_ID, sizeof trace->span));
    return span + shm_wire_bytes(pair_bytes(TRACE_ID, sizeof trace->id)) + SHM_WIRE_DOUBLE_BYTES +
           shm_wire_bytes(shm_timestamp_bytes(time_of(exemplar)));
}

size_t shm_proto_exemplar_bytes(unsigned field, const struct shm_exemplar *exemplar)
{
    return shm_wire_tag_bytes(field) - 1 + shm_wire_bytes(inner_bytes(exemplar));
}

char *shm_put_proto_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar)
{
    const struct shm_trace *trace = &exemplar->trace;
    out = shm_wire_opening(out, field, inner_bytes(exemplar));
    if (shm_exemplar_has_span(exemplar))
        out = put_label(out, SPAN_ID, trace->span, sizeof trace->span);
    out = put_label(out, TRACE_ID, trace->id, sizeof trace->id);
    out = shm_wire_double(out, VALUE, exemplar->value);
    return shm_put_timestamp(out, TIMESTAMP, time_of(exemplar));
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto_exemplar.h"

#include "hex_label.h"
#include "timestamp.h"

enum { VALUE = 2, TIMESTAMP = 3 }; /* of Exemplar */

static struct shm_timestamp time_of(const struct shm_exemplar *exemplar)
{
    const uint64_t second_ns = UINT64_C(1000000000);
    return (struct shm_timestamp){exemplar->stamp_ns / second_ns, exemplar->stamp_ns % second_ns};
}

/* Returns the size of the message, without tag and length. */
static size_t inner_bytes(const struct shm_exemplar *exemplar)
{
    return shm_trace_labels_bytes(&exemplar->trace, shm_exemplar_has_span(exemplar)) +
           SHM_WIRE_DOUBLE_BYTES + shm_wire_bytes(shm_timestamp_bytes(time_of(exemplar)));
}

size_t shm_proto_exemplar_bytes(unsigned field, const struct shm_exemplar *exemplar)
{
    return shm_wire_tag_bytes(field) - 1 + shm_wire_bytes(inner_bytes(exemplar));
}

char *shm_put_proto_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar)
{
    out = shm_wire_opening(out, field, inner_bytes(exemplar));
    out = shm_put_trace_labels(out, &exemplar->trace, shm_exemplar_has_span(exemplar));
    out = shm_wire_double(out, VALUE, exemplar->value);
    return shm_put_timestamp(out, TIMESTAMP, time_of(exemplar));
}

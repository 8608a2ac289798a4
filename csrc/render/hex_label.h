/* SPDX-License-Identifier: Apache-2.0 */
/* The labels of an exemplar as protocol buffers: `span_id` and `trace_id`, in hexadecimal digits.
 * client_model's LabelPair and remote write's Label have the same fields. */
#ifndef SHM_HEX_LABEL_H
#define SHM_HEX_LABEL_H

#include "../lane/exemplar.h"
#include "put.h"
#include "wire.h"

enum { SHM_EXEMPLAR_LABEL = 1 };                   /* of Exemplar */
enum { SHM_LABEL_NAME = 1, SHM_LABEL_VALUE = 2 };  /* of LabelPair, and of Label */

/* Returns the size of a label whose value is n_bytes in hexadecimal digits. */
static inline size_t shm_hex_label_bytes(const char *name, size_t n_bytes)
{
    return shm_wire_bytes(strlen(name)) + shm_wire_bytes(2 * n_bytes);
}

static inline char *shm_put_hex_label(char *out, const char *name, const uint8_t *bytes,
                                      size_t n_bytes)
{
    out = shm_wire_opening(out, SHM_EXEMPLAR_LABEL, shm_hex_label_bytes(name, n_bytes));
    out = shm_wire_opening(out, SHM_LABEL_NAME, strlen(name));
    out = shm_put_string(out, name);
    out = shm_wire_opening(out, SHM_LABEL_VALUE, 2 * n_bytes);
    return shm_put_hex(out, bytes, n_bytes);
}

/* Returns the size of the labels of a trace. */
static inline size_t shm_trace_labels_bytes(const struct shm_trace *trace, int has_span)
{
    size_t n_bytes = shm_wire_bytes(shm_hex_label_bytes("trace_id", sizeof trace->id));
    if (has_span)
        n_bytes += shm_wire_bytes(shm_hex_label_bytes("span_id", sizeof trace->span));
    return n_bytes;
}

/* Writes the labels of a trace, sorted by name. */
static inline char *shm_put_trace_labels(char *out, const struct shm_trace *trace, int has_span)
{
    if (has_span)
        out = shm_put_hex_label(out, "span_id", trace->span, sizeof trace->span);
    return shm_put_hex_label(out, "trace_id", trace->id, sizeof trace->id);
}

#endif

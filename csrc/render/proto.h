/* SPDX-License-Identifier: Apache-2.0 */
/* Samples as protocol buffers: the Metric messages of an io.prometheus.client.MetricFamily, one per
 * series. The caller writes the rest of the family.
 *
 * A message says first how long it is. So all rows are measured, then written, a piece at a time.
 * The numbers must be the same both times; if they are not, the writer notices it, and no byte is
 * written out of bounds. Nothing here allocates, or keeps anything.
 */
#ifndef SHM_PROTO_H
#define SHM_PROTO_H

#include "columns.h"
#include "native.h"

/* The kind of a Metric: the number of its field. */
enum shm_proto_kind {
    SHM_PROTO_GAUGE = 2,
    SHM_PROTO_COUNTER = 3,
    SHM_PROTO_UNTYPED = 5,
    SHM_PROTO_HISTOGRAM = 7,
};

/* values: of all but a histogram. created: Unix seconds; only a counter and a histogram show it.
 * buckets: each one's own counts, as many as there are bounds, +Inf among them. native may be
 * NULL. */
struct shm_proto_family {
    enum shm_proto_kind kind;
    size_t n_rows;
    struct shm_column values;
    struct shm_column created;
    struct shm_column sums;
    const double *bounds;
    struct shm_counts_of_rows buckets;
    const struct shm_native *native;
    struct shm_exemplars_of_rows exemplars;
};

/* Labels: those of row i, as fields of its Metric, at [ends[i], ends[i+1]). */
struct shm_proto_labels {
    const char *fields;
    const uint64_t *ends; /* n_rows + 1 */
};

/* Writes into sizes[row] how many bytes the row's value takes. */
void shm_proto_measure(const struct shm_proto_family *family, uint64_t *sizes);

/* Returns the end of the longest piece of whole rows that begins at row from and takes most_bytes
 * or less, but at least one row. n_bytes: how many it takes. */
size_t shm_proto_piece(const struct shm_proto_family *family, const uint64_t *sizes,
                       const uint64_t *ends, size_t from, uint64_t most_bytes, uint64_t *n_bytes);

/* Returns how many bytes shm_proto_write() needs beyond those of its piece. */
size_t shm_proto_slack(const struct shm_proto_family *family);

/* Writes the rows from `from` to before `to`. Returns NULL if one is not as long as it was
 * measured. */
char *shm_proto_write(char *out, const struct shm_proto_family *family, const uint64_t *sizes,
                      struct shm_proto_labels labels, size_t from, size_t to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Series as Prometheus's remote write has them, each with one sample or one native histogram: in
 * 1.0 as TimeSeries of prometheus.WriteRequest, in 2.0 as those of io.prometheus.write.v2.Request,
 * whose labels are numbers of symbols (https://prometheus.io/docs/specs/prw).
 *
 * Nothing here allocates, fails or keeps anything.
 */
#ifndef SHM_REMOTE_WRITE_H
#define SHM_REMOTE_WRITE_H

#include "columns.h"
#include "native.h"

/* Bytes as they are: in 1.0 fields of TimeSeries, in 2.0 the numbers of symbols; of a label of all
 * series, or of none. */
struct shm_fields {
    const char *bytes;
    size_t n_bytes;
};

/* What all series have in common. The labels of row i, sorted by name: those before `__name__` are
 * at [parts[3i], parts[3i+1]), those between it and `le` up to parts[3i+2], the others up to
 * parts[3i+3]. metadata: a field of TimeSeries of 2.0. created: Unix seconds, likewise for 2.0
 * alone; see shm_proto_family. */
struct shm_remote_family {
    struct shm_fields name;
    struct shm_fields le;
    const char *labels;
    const uint64_t *parts; /* 3 * n_rows + 1 */
    uint64_t stamp_ms;     /* Unix time */
    struct shm_exemplars_of_rows exemplars; /* of 1.0 alone */
    int is_v2;
    struct shm_fields metadata;
    struct shm_column created;
};

/* Returns the end of the rows from `from`, up to `to`, that take most_bytes or less together; but
 * at least one row. native: NULL for samples. n_bytes: how many bytes these need at most. */
size_t shm_remote_reach(const struct shm_remote_family *family, const struct shm_native *native,
                        size_t from, size_t to, size_t most_bytes, size_t *n_bytes);

/* Writes series with a sample each; of the exemplars those of this bucket. */
char *shm_remote_samples(char *out, const struct shm_remote_family *family,
                         struct shm_column values, size_t bucket, size_t from, size_t to);

/* Writes series with a native histogram each, and all their exemplars. */
char *shm_remote_histograms(char *out, const struct shm_remote_family *family,
                            const struct shm_native *native, struct shm_column sums, size_t from,
                            size_t to);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The data points of OTLP's metrics
 * (https://github.com/open-telemetry/opentelemetry-proto, metrics/v1/metrics.proto), as fields of a
 * Gauge, a Sum, a Histogram or an ExponentialHistogram.
 *
 * Nothing here allocates, fails or keeps anything.
 */
#ifndef SHM_OTLP_H
#define SHM_OTLP_H

#include "columns.h"
#include "native.h"

/* What all kinds of points have. The attributes of row i, as fields of a point of its kind, are at
 * [ends[i], ends[i+1]). created: Unix seconds, see shm_proto_family. */
struct shm_points {
    const char *attributes;
    const uint64_t *ends; /* n_rows + 1 */
    uint64_t time_ns;     /* Unix time */
    struct shm_column created;
    struct shm_exemplars_of_rows exemplars;
};

/* A histogram with bounds: n - 1 of them for n buckets. sums may be none. */
struct shm_bounded {
    const double *bounds;
    struct shm_counts_of_rows buckets;
    struct shm_column sums;
};

/* An exponential histogram; sums may be none. */
struct shm_exponential {
    const struct shm_native *native;
    struct shm_column sums;
};

/* Returns the end of the rows from `from`, up to `to`, that take most_bytes or less together; but
 * at least one row. n_buckets: how many a row has. n_bytes: how many bytes these need at most. */
size_t shm_points_reach(const struct shm_points *points, size_t n_buckets, size_t from, size_t to,
                        size_t most_bytes, size_t *n_bytes);

/* Each writes the points of the rows from `from` to before `to`, and returns their end. */
char *shm_points_numbers(char *out, const struct shm_points *points, struct shm_column values,
                         size_t from, size_t to);
char *shm_points_bounded(char *out, const struct shm_points *points,
                         const struct shm_bounded *histogram, size_t from, size_t to);
char *shm_points_exponential(char *out, const struct shm_points *points,
                             const struct shm_exponential *histogram, size_t from, size_t to);

#endif

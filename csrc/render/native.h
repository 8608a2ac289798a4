/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a native histogram within a Histogram message: schema, zero bucket, and all others
 * as spans of buckets and the differences of their counts. Empty buckets take no room. client_model
 * and remote write have the same fields, but their numbers differ by one.
 */
#ifndef SHM_NATIVE_H
#define SHM_NATIVE_H

#include "columns.h"

/* Bucket i has the upper bound base^i, where base is 2^(2^-schema). zeros: a count per row. counts:
 * those of buckets first, first + 1 and so on. */
struct shm_native {
    int32_t schema;
    int32_t first;
    double zero_threshold;
    struct shm_column zeros;
    struct shm_counts_of_rows counts;
    unsigned schema_field; /* the number of the field `schema` */
};

/* The number of that field in io.prometheus.client.Histogram, and in prometheus.Histogram of remote
 * write. */
enum { SHM_CLIENT_SCHEMA = 5, SHM_REMOTE_SCHEMA = 4 };

/* Returns how many bytes any row takes at most. */
size_t shm_native_bound(const struct shm_native *native);

/* Returns how many bytes a row takes. */
size_t shm_native_bytes(const struct shm_native *native, size_t row);

/* Writes at most shm_native_bound(), whatever happens to the counts meanwhile; returns the end. */
char *shm_put_native(char *out, const struct shm_native *native, size_t row);

#endif

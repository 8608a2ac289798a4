/* SPDX-License-Identifier: Apache-2.0 */
/* csrc/render/ writes numbers and samples as bytes: columns.h has the numbers of a family as both
 * formats get them; text.h writes them as text, with number.h, decimal.h and put.h; proto.h writes
 * them as protocol buffers, with wire.h, timestamp.h, native.h and proto_exemplar.h. They include
 * of other rooms lane/exemplar.h alone, and know neither lanes nor the store.
 *
 * The numbers of a family are arrays of the caller's: a row per series, any strides. */
#ifndef SHM_COLUMNS_H
#define SHM_COLUMNS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../lane/exemplar.h"

/* A number per row, of type double or, if counts, uint64_t. first NULL: there are none. */
struct shm_column {
    const char *first;
    ptrdiff_t stride_bytes;
    int counts;
};

/* n counts of type uint64_t per row: those of a bucket alone, not cumulated. */
struct shm_counts_of_rows {
    const char *first;
    ptrdiff_t row_stride_bytes;
    ptrdiff_t stride_bytes;
    size_t n;
};

/* At most one exemplar of each row and bucket, sorted by both; of a family without buckets all are
 * of bucket 0. */
struct shm_exemplars_of_rows {
    const struct shm_exemplar *first;
    size_t n;
};

/* Returns how many exemplars are of the rows before this one. */
static inline size_t shm_exemplars_before(struct shm_exemplars_of_rows exemplars, size_t row)
{
    size_t from = 0;
    for (size_t to = exemplars.n; from < to;) {
        size_t middle = from + (to - from) / 2;
        if (exemplars.first[middle].series < row)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* The counts of one row. */
struct shm_row {
    const char *first;
    ptrdiff_t stride_bytes;
    size_t n;
};

/* Returns the count that is at_bytes behind first. */
static inline uint64_t shm_count_at(const char *first, ptrdiff_t at_bytes)
{
    uint64_t count;
    memcpy(&count, first + at_bytes, sizeof count);
    return count;
}

/* Returns a row's number. */
static inline double shm_number_at(struct shm_column column, size_t row)
{
    ptrdiff_t at_bytes = (ptrdiff_t)row * column.stride_bytes;
    if (column.counts)
        return (double)shm_count_at(column.first, at_bytes);
    double value;
    memcpy(&value, column.first + at_bytes, sizeof value);
    return value;
}

/* Returns a row's number, of a column of counts. */
static inline uint64_t shm_whole_at(struct shm_column column, size_t row)
{
    return shm_count_at(column.first, (ptrdiff_t)row * column.stride_bytes);
}

/* Returns the counts of a row. */
static inline struct shm_row shm_row(const struct shm_counts_of_rows *counts, size_t row)
{
    return (struct shm_row){counts->first + (ptrdiff_t)row * counts->row_stride_bytes,
                            counts->stride_bytes, counts->n};
}

/* Returns the i-th count of a row. */
static inline uint64_t shm_row_at(struct shm_row row, size_t i)
{
    return shm_count_at(row.first, (ptrdiff_t)i * row.stride_bytes);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include "wire.h"

/* Fields of a Histogram, counted from schema. */
enum {
    SCHEMA = 0,
    ZERO_THRESHOLD = 1,
    ZERO_COUNT = 2,
    POSITIVE_SPAN = 7,
    POSITIVE_DELTA = 8,
};

/* Fields of a BucketSpan. */
enum { OFFSET = 1, LENGTH = 2 };

/* So many empty buckets cost less as counts than as the end of a span and the beginning of
 * another. */
enum { MOST_EMPTY = 2 };

/* Columns from to before to; begin with {0, 0}. */
struct span {
    size_t from;
    size_t to;
};

/* Finds the next span of a row. Returns false if all buckets behind it are empty. */
static int next(struct shm_row row, struct span *span)
{
    size_t i = span->to;
    while (i < row.n && shm_row_at(row, i) == 0)
        i++;
    if (i == row.n)
        return 0;
    span->from = i;
    span->to = i + 1;
    for (i = span->to; i < row.n && i - span->to <= MOST_EMPTY; i++) {
        if (shm_row_at(row, i) != 0)
            span->to = i + 1;
    }
    return 1;
}

/* Returns how far a span is from the one before it, or from bucket 0. */
static int64_t offset(const struct shm_native *native, struct span before, struct span span)
{
    return (int64_t)(span.from - before.to) + (before.to == 0 ? native->first : 0);
}

static size_t span_bytes(const struct shm_native *native, struct span before, struct span span)
{
    return shm_wire_varint_bytes(shm_zigzag(offset(native, before, span))) +
           shm_wire_varint_bytes(span.to - span.from);
}

static char *put_span(char *out, const struct shm_native *native, struct span before,
                      struct span span)
{
    unsigned field = native->schema_field + POSITIVE_SPAN;
    out = shm_wire_opening(out, field, span_bytes(native, before, span));
    out = shm_wire_varint(out, OFFSET, shm_zigzag(offset(native, before, span)));
    return shm_wire_varint(out, LENGTH, span.to - span.from);
}

/* Returns the difference from the count before to this one, which then becomes the one before. */
static uint64_t delta(struct shm_row row, size_t i, uint64_t *before)
{
    uint64_t count = shm_row_at(row, i);
    uint64_t difference = count - *before;
    *before = count;
    return shm_zigzag((int64_t)difference);
}

/* Tells whether a row has neither a span nor a zero bucket: Prometheus takes such a histogram for a
 * classic one. */
static int is_blank(const struct shm_native *native, size_t n_spans)
{
    return n_spans == 0 && !(native->zero_threshold > 0);
}

size_t shm_native_bound(const struct shm_native *native)
{
    size_t n = native->counts.n;
    size_t n_spans = n / (MOST_EMPTY + 2) + 1;
    return 2 * SHM_WIRE_VARINT_BYTES + SHM_WIRE_DOUBLE_BYTES +
           n_spans * (2 + 2 * SHM_WIRE_VARINT_BYTES) + (n + 1) * SHM_WIRE_VARINT_BYTES;
}

/* Both lists of a row: how many spans there are, their bytes, and those of the deltas. */
struct lists {
    size_t n_spans;
    size_t span_bytes;
    size_t delta_bytes;
};

static struct lists measure(const struct shm_native *native, size_t row)
{
    struct shm_row counts = shm_row(&native->counts, row);
    struct lists lists = {0, 0, 0};
    struct span before = {0, 0};
    uint64_t last = 0;
    for (struct span span = before; next(counts, &span); before = span) {
        lists.n_spans++;
        lists.span_bytes += shm_wire_bytes(span_bytes(native, before, span));
        for (size_t i = span.from; i < span.to; i++)
            lists.delta_bytes += shm_varint_bytes(delta(counts, i, &last));
    }
    return lists;
}

size_t shm_native_bytes(const struct shm_native *native, size_t row)
{
    struct lists lists = measure(native, row);
    size_t n_bytes = shm_wire_varint_bytes(shm_zigzag(native->schema)) + SHM_WIRE_DOUBLE_BYTES +
                     shm_wire_varint_bytes(shm_whole_at(native->zeros, row)) + lists.span_bytes;
    if (lists.delta_bytes > 0)
        n_bytes += shm_wire_bytes(lists.delta_bytes);
    return n_bytes + (is_blank(native, lists.n_spans) ? shm_wire_bytes(0) : 0);
}

char *shm_put_native(char *out, const struct shm_native *native, size_t row)
{
    struct shm_row counts = shm_row(&native->counts, row);
    struct lists lists = measure(native, row);
    unsigned field = native->schema_field;
    out = shm_wire_varint(out, field + SCHEMA, shm_zigzag(native->schema));
    out = shm_wire_double(out, field + ZERO_THRESHOLD, native->zero_threshold);
    out = shm_wire_varint(out, field + ZERO_COUNT, shm_whole_at(native->zeros, row));
    struct span before = {0, 0};
    for (struct span span = before; next(counts, &span); before = span)
        out = put_span(out, native, before, span);
    if (is_blank(native, lists.n_spans))
        out = shm_wire_opening(out, field + POSITIVE_SPAN, 0);
    if (lists.delta_bytes == 0)
        return out;
    out = shm_wire_opening(out, field + POSITIVE_DELTA, lists.delta_bytes);
    uint64_t last = 0;
    for (struct span span = {0, 0}; next(counts, &span);) {
        for (size_t i = span.from; i < span.to; i++)
            out = shm_put_varint(out, delta(counts, i, &last));
    }
    return out;
}

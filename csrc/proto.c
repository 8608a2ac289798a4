/* SPDX-License-Identifier: Apache-2.0 */
#include "proto.h"

#include "put.h"
#include "wire.h"

enum { METRIC = 4 }; /* of MetricFamily */
enum { VALUE = 1, COUNTER_CREATED = 3 }; /* of Gauge, Counter, Untyped */
enum { COUNT = 1, SUM = 2, BUCKET = 3, HISTOGRAM_CREATED = 15 }; /* of Histogram */
enum { CUMULATIVE_COUNT = 1, UPPER_BOUND = 2 }; /* of Bucket */
enum { SECONDS = 1, NANOS = 2 }; /* of google.protobuf.Timestamp */

/* The first second of the year 10000, from which on a Timestamp is not valid. */
static const double TIME_ENDS = 253402300800.0;

struct timestamp {
    uint64_t seconds;
    uint64_t nanos;
};

/* When a row began to count; false if it does not say so. */
static int created_at(const struct shm_proto_family *family, size_t row, struct timestamp *created)
{
    if (family->created.first == NULL)
        return 0;
    double time = shm_number_at(family->created, row);
    if (!(time >= 0 && time < TIME_ENDS))
        return 0;
    created->seconds = (uint64_t)time;
    created->nanos = (uint64_t)((time - (double)created->seconds) * 1e9);
    return 1;
}

static size_t timestamp_bytes(struct timestamp time)
{
    return shm_wire_varint_bytes(time.seconds) + shm_wire_varint_bytes(time.nanos);
}

static size_t created_bytes(const struct shm_proto_family *family, size_t row)
{
    struct timestamp time;
    return created_at(family, row, &time) ? shm_wire_bytes(timestamp_bytes(time)) : 0;
}

static char *put_created(char *out, const struct shm_proto_family *family, unsigned field,
                         size_t row)
{
    struct timestamp time;
    if (!created_at(family, row, &time))
        return out;
    out = shm_wire_opening(out, field, timestamp_bytes(time));
    out = shm_wire_varint(out, SECONDS, time.seconds);
    return shm_wire_varint(out, NANOS, time.nanos);
}

static size_t scalar_bytes(const struct shm_proto_family *family, size_t row)
{
    size_t n_bytes = SHM_WIRE_DOUBLE_BYTES;
    return family->kind == SHM_PROTO_COUNTER ? n_bytes + created_bytes(family, row) : n_bytes;
}

static char *put_scalar(char *out, const struct shm_proto_family *family, size_t row)
{
    out = shm_wire_double(out, VALUE, shm_number_at(family->values, row));
    if (family->kind == SHM_PROTO_COUNTER)
        out = put_created(out, family, COUNTER_CREATED, row);
    return out;
}

static size_t bucket_bytes(uint64_t cumulated)
{
    return shm_wire_varint_bytes(cumulated) + SHM_WIRE_DOUBLE_BYTES;
}

static size_t histogram_bytes(const struct shm_proto_family *family, size_t row)
{
    struct shm_row buckets = shm_row(&family->buckets, row);
    size_t n_bytes = SHM_WIRE_DOUBLE_BYTES + created_bytes(family, row);
    uint64_t count = 0;
    for (size_t i = 0; i < buckets.n; i++) {
        count += shm_row_at(buckets, i);
        n_bytes += shm_wire_bytes(bucket_bytes(count));
    }
    n_bytes += shm_wire_varint_bytes(count);
    return family->native == NULL ? n_bytes : n_bytes + shm_native_bytes(family->native, row);
}

static char *put_histogram(char *out, const struct shm_proto_family *family, size_t row)
{
    struct shm_row buckets = shm_row(&family->buckets, row);
    uint64_t count = 0;
    for (size_t i = 0; i < buckets.n; i++) {
        count += shm_row_at(buckets, i);
        out = shm_wire_opening(out, BUCKET, bucket_bytes(count));
        out = shm_wire_varint(out, CUMULATIVE_COUNT, count);
        out = shm_wire_double(out, UPPER_BOUND, family->bounds[i]);
    }
    out = shm_wire_varint(out, COUNT, count); /* fields may come in any order */
    out = shm_wire_double(out, SUM, shm_number_at(family->sums, row));
    out = put_created(out, family, HISTOGRAM_CREATED, row);
    return family->native == NULL ? out : shm_put_native(out, family->native, row);
}

void shm_proto_measure(const struct shm_proto_family *family, uint64_t *sizes)
{
    for (size_t row = 0; row < family->n_rows; row++)
        sizes[row] = family->kind == SHM_PROTO_HISTOGRAM ? histogram_bytes(family, row)
                                                         : scalar_bytes(family, row);
}

static size_t label_bytes(const uint64_t *ends, size_t row)
{
    return (size_t)(ends[row + 1] - ends[row]);
}

/* Of a Metric: its labels, and its value. */
static size_t metric_bytes(const uint64_t *sizes, const uint64_t *ends, size_t row)
{
    return label_bytes(ends, row) + shm_wire_bytes(sizes[row]);
}

size_t shm_proto_piece(const struct shm_proto_family *family, const uint64_t *sizes,
                       const uint64_t *ends, size_t from, uint64_t most_bytes, uint64_t *n_bytes)
{
    size_t to = from;
    for (*n_bytes = 0; to < family->n_rows; to++) {
        uint64_t more = *n_bytes + shm_wire_bytes(metric_bytes(sizes, ends, to));
        if (to > from && more > most_bytes)
            break;
        *n_bytes = more;
    }
    return to;
}

size_t shm_proto_slack(const struct shm_proto_family *family)
{
    /* A value at its longest: what is written of it before it is seen to be too long. */
    size_t bucket = 2 + SHM_WIRE_VARINT_BYTES + SHM_WIRE_DOUBLE_BYTES;
    size_t created = 2 + 2 * SHM_WIRE_VARINT_BYTES;
    return family->buckets.n * bucket + SHM_WIRE_VARINT_BYTES + SHM_WIRE_DOUBLE_BYTES + created +
           (family->native == NULL ? 0 : shm_native_bound(family->native));
}

char *shm_proto_write(char *out, const struct shm_proto_family *family, const uint64_t *sizes,
                      struct shm_proto_labels labels, size_t from, size_t to)
{
    for (size_t row = from; row < to; row++) {
        out = shm_wire_opening(out, METRIC, metric_bytes(sizes, labels.ends, row));
        out = shm_put(out, labels.fields + labels.ends[row], label_bytes(labels.ends, row));
        out = shm_wire_opening(out, (unsigned)family->kind, sizes[row]);
        const char *value = out;
        out = family->kind == SHM_PROTO_HISTOGRAM ? put_histogram(out, family, row)
                                                  : put_scalar(out, family, row);
        if ((uint64_t)(out - value) != sizes[row])
            return NULL;
    }
    return out;
}

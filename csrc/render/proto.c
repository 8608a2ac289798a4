/* SPDX-License-Identifier: Apache-2.0 */
#include "proto.h"

#include "proto_exemplar.h"
#include "put.h"
#include "timestamp.h"

enum { METRIC = 4 };                                                 /* of MetricFamily */
enum { VALUE = 1, COUNTER_EXEMPLAR = 2, COUNTER_CREATED = 3 };       /* of Counter; and of Gauge */
enum { CUMULATIVE_COUNT = 1, UPPER_BOUND = 2, BUCKET_EXEMPLAR = 3 }; /* of Bucket */
enum { COUNT = 1, SUM = 2, BUCKET = 3, HISTOGRAM_CREATED = 15 };     /* of Histogram */
enum { NATIVE_EXEMPLAR = 16 };

/* The first second of the year 10000, from which on a Timestamp is not valid. */
static const double TIME_ENDS = 253402300800.0;

/* Finds when a row began to count. Returns false if that is not known. */
static int created_at(const struct shm_proto_family *family, size_t row,
                      struct shm_timestamp *created)
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

static size_t created_bytes(const struct shm_proto_family *family, size_t row)
{
    struct shm_timestamp time;
    return created_at(family, row, &time) ? shm_wire_bytes(shm_timestamp_bytes(time)) : 0;
}

static char *put_created(char *out, const struct shm_proto_family *family, unsigned field,
                         size_t row)
{
    struct shm_timestamp time;
    return created_at(family, row, &time) ? shm_put_timestamp(out, field, time) : out;
}

/* Returns a row's exemplars; no more than it has buckets. */
static struct shm_exemplars_of_rows exemplars_of(const struct shm_proto_family *family, size_t row)
{
    const struct shm_exemplar *all = family->exemplars.first;
    size_t from = shm_exemplars_before(family->exemplars, row);
    size_t most = family->kind == SHM_PROTO_HISTOGRAM ? family->buckets.n : 1;
    size_t n = 0;
    while (n < most && from + n < family->exemplars.n && all[from + n].series == row)
        n++;
    return (struct shm_exemplars_of_rows){n == 0 ? NULL : all + from, n};
}

/* Takes the next exemplar if it is of this bucket; returns NULL if it is not. */
static const struct shm_exemplar *exemplar_of(struct shm_exemplars_of_rows *left, size_t bucket)
{
    if (left->n == 0 || left->first->bucket != bucket)
        return NULL;
    left->n--;
    return left->first++;
}

static size_t exemplar_bytes(unsigned field, const struct shm_exemplar *exemplar)
{
    return exemplar == NULL ? 0 : shm_proto_exemplar_bytes(field, exemplar);
}

static char *put_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar)
{
    return exemplar == NULL ? out : shm_put_proto_exemplar(out, field, exemplar);
}

static size_t counter_bytes(const struct shm_proto_family *family, size_t row)
{
    struct shm_exemplars_of_rows left = exemplars_of(family, row);
    return SHM_WIRE_DOUBLE_BYTES + exemplar_bytes(COUNTER_EXEMPLAR, exemplar_of(&left, 0)) +
           created_bytes(family, row);
}

static char *put_counter(char *out, const struct shm_proto_family *family, size_t row)
{
    struct shm_exemplars_of_rows left = exemplars_of(family, row);
    out = shm_wire_double(out, VALUE, shm_number_at(family->values, row));
    out = put_exemplar(out, COUNTER_EXEMPLAR, exemplar_of(&left, 0));
    return put_created(out, family, COUNTER_CREATED, row);
}

static size_t bucket_bytes(uint64_t cumulated, const struct shm_exemplar *exemplar)
{
    return shm_wire_varint_bytes(cumulated) + SHM_WIRE_DOUBLE_BYTES +
           exemplar_bytes(BUCKET_EXEMPLAR, exemplar);
}

static size_t native_bytes(const struct shm_proto_family *family, size_t row)
{
    struct shm_exemplars_of_rows exemplars = exemplars_of(family, row);
    size_t n_bytes = shm_native_bytes(family->native, row);
    for (size_t i = 0; i < exemplars.n; i++)
        n_bytes += exemplar_bytes(NATIVE_EXEMPLAR, exemplars.first + i);
    return n_bytes;
}

static char *put_native(char *out, const struct shm_proto_family *family, size_t row)
{
    struct shm_exemplars_of_rows exemplars = exemplars_of(family, row);
    out = shm_put_native(out, family->native, row);
    for (size_t i = 0; i < exemplars.n; i++)
        out = put_exemplar(out, NATIVE_EXEMPLAR, exemplars.first + i);
    return out;
}

static size_t histogram_bytes(const struct shm_proto_family *family, size_t row)
{
    struct shm_row buckets = shm_row(&family->buckets, row);
    struct shm_exemplars_of_rows left = exemplars_of(family, row);
    size_t n_bytes = SHM_WIRE_DOUBLE_BYTES + created_bytes(family, row);
    uint64_t count = 0;
    for (size_t i = 0; i < buckets.n; i++) {
        count += shm_row_at(buckets, i);
        n_bytes += shm_wire_bytes(bucket_bytes(count, exemplar_of(&left, i)));
    }
    n_bytes += shm_wire_varint_bytes(count);
    return family->native == NULL ? n_bytes : n_bytes + native_bytes(family, row);
}

static char *put_histogram(char *out, const struct shm_proto_family *family, size_t row)
{
    struct shm_row buckets = shm_row(&family->buckets, row);
    struct shm_exemplars_of_rows left = exemplars_of(family, row);
    uint64_t count = 0;
    for (size_t i = 0; i < buckets.n; i++) {
        const struct shm_exemplar *exemplar = exemplar_of(&left, i);
        count += shm_row_at(buckets, i);
        out = shm_wire_opening(out, BUCKET, bucket_bytes(count, exemplar));
        out = shm_wire_varint(out, CUMULATIVE_COUNT, count);
        out = shm_wire_double(out, UPPER_BOUND, family->bounds[i]);
        out = put_exemplar(out, BUCKET_EXEMPLAR, exemplar);
    }
    out = shm_wire_varint(out, COUNT, count); /* fields may come in any order */
    out = shm_wire_double(out, SUM, shm_number_at(family->sums, row));
    out = put_created(out, family, HISTOGRAM_CREATED, row);
    return family->native == NULL ? out : put_native(out, family, row);
}

static size_t value_bytes(const struct shm_proto_family *family, size_t row)
{
    if (family->kind == SHM_PROTO_HISTOGRAM)
        return histogram_bytes(family, row);
    return family->kind == SHM_PROTO_COUNTER ? counter_bytes(family, row) : SHM_WIRE_DOUBLE_BYTES;
}

static char *put_value(char *out, const struct shm_proto_family *family, size_t row)
{
    if (family->kind == SHM_PROTO_HISTOGRAM)
        return put_histogram(out, family, row);
    if (family->kind == SHM_PROTO_COUNTER)
        return put_counter(out, family, row);
    return shm_wire_double(out, VALUE, shm_number_at(family->values, row));
}

void shm_proto_measure(const struct shm_proto_family *family, uint64_t *sizes)
{
    for (size_t row = 0; row < family->n_rows; row++)
        sizes[row] = value_bytes(family, row);
}

static size_t label_bytes(const uint64_t *ends, size_t row)
{
    return (size_t)(ends[row + 1] - ends[row]);
}

/* Returns the size of a Metric: its labels, and its value. */
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
    /* A value at its longest: so much may be written before its length is compared. */
    size_t bucket = 3 + SHM_WIRE_VARINT_BYTES + SHM_WIRE_DOUBLE_BYTES;
    size_t created = 2 + 2 * SHM_WIRE_VARINT_BYTES;
    size_t exemplars = (1 + 2 * family->buckets.n) * SHM_PROTO_EXEMPLAR_BOUND;
    return family->buckets.n * bucket + SHM_WIRE_VARINT_BYTES + SHM_WIRE_DOUBLE_BYTES + created +
           exemplars + (family->native == NULL ? 0 : shm_native_bound(family->native));
}

char *shm_proto_write(char *out, const struct shm_proto_family *family, const uint64_t *sizes,
                      struct shm_proto_labels labels, size_t from, size_t to)
{
    for (size_t row = from; row < to; row++) {
        out = shm_wire_opening(out, METRIC, metric_bytes(sizes, labels.ends, row));
        out = shm_put(out, labels.fields + labels.ends[row], label_bytes(labels.ends, row));
        out = shm_wire_opening(out, (unsigned)family->kind, sizes[row]);
        const char *value = out;
        out = put_value(out, family, row);
        if ((uint64_t)(out - value) != sizes[row])
            return NULL;
    }
    return out;
}

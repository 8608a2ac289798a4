/* SPDX-License-Identifier: Apache-2.0 */
#include "otlp.h"

#include "put.h"
#include "wire.h"

enum { DATA_POINTS = 1 };         /* of Gauge, Sum, Histogram and ExponentialHistogram */
enum { START = 2, TIME = 3 };     /* of all points */
enum { AS_DOUBLE = 4 };           /* of NumberDataPoint */
enum { NUMBER_EXEMPLARS = 5 };
enum { COUNT = 4, SUM = 5 };      /* of both kinds of histograms */
enum { BUCKET_COUNTS = 6, EXPLICIT_BOUNDS = 7, BOUNDED_EXEMPLARS = 8 };
enum { SCALE = 6, ZERO_COUNT = 7, POSITIVE = 8, EXPONENTIAL_EXEMPLARS = 11, ZERO_THRESHOLD = 14 };
enum { OFFSET = 1, COUNTS = 2 };  /* of Buckets */
enum { EXEMPLAR_TIME = 2, EXEMPLAR_DOUBLE = 3, SPAN_ID = 4, TRACE_ID = 5 };

enum { EXEMPLAR_BOUND = 64, FRAME_BOUND = 128 };

/* The first second of the year 2262, whose nanoseconds are more than 63 bits. */
static const double TIME_ENDS = 9214646400.0;

size_t shm_points_reach(const struct shm_points *points, size_t n_buckets, size_t from, size_t to,
                        size_t most_bytes, size_t *n_bytes)
{
    size_t fixed = FRAME_BOUND + 2 * n_buckets * SHM_WIRE_VARINT_BYTES;
    size_t row = from;
    for (*n_bytes = 0; row < to; row++) {
        size_t more = fixed + (size_t)(points->ends[row + 1] - points->ends[row]);
        if (row > from && *n_bytes + more > most_bytes)
            break;
        *n_bytes += more;
    }
    *n_bytes += EXEMPLAR_BOUND * (shm_exemplars_before(points->exemplars, row) -
                                  shm_exemplars_before(points->exemplars, from));
    return row;
}

static char *put_ids(char *out, const struct shm_points *points, size_t row)
{
    const uint64_t *ends = points->ends;
    out = shm_put(out, points->attributes + ends[row], (size_t)(ends[row + 1] - ends[row]));
    if (points->created.first != NULL) {
        double created = shm_number_at(points->created, row);
        if (created > 0 && created < TIME_ENDS)
            out = shm_wire_fixed64(out, START, (uint64_t)(created * 1e9));
    }
    return shm_wire_fixed64(out, TIME, points->time_ns);
}

static char *put_exemplar(char *out, unsigned field, const struct shm_exemplar *exemplar)
{
    const struct shm_trace *trace = &exemplar->trace;
    char *content = shm_wire_opened(out, field);
    out = shm_wire_fixed64(content, EXEMPLAR_TIME, exemplar->stamp_ns);
    out = shm_wire_double(out, EXEMPLAR_DOUBLE, exemplar->value);
    if (shm_exemplar_has_span(exemplar)) {
        out = shm_wire_opening(out, SPAN_ID, sizeof trace->span);
        out = shm_put(out, (const char *)trace->span, sizeof trace->span);
    }
    out = shm_wire_opening(out, TRACE_ID, sizeof trace->id);
    out = shm_put(out, (const char *)trace->id, sizeof trace->id);
    return shm_wire_closed(content, out);
}

static char *put_exemplars(char *out, const struct shm_points *points, unsigned field,
                           size_t *next, size_t row)
{
    struct shm_exemplars_of_rows exemplars = points->exemplars;
    for (; *next < exemplars.n && exemplars.first[*next].series == row; (*next)++)
        out = put_exemplar(out, field, exemplars.first + *next);
    return out;
}

char *shm_points_numbers(char *out, const struct shm_points *points, struct shm_column values,
                         size_t from, size_t to)
{
    size_t next = shm_exemplars_before(points->exemplars, from);
    for (size_t row = from; row < to; row++) {
        char *content = shm_wire_opened(out, DATA_POINTS);
        out = put_ids(content, points, row);
        out = shm_wire_double(out, AS_DOUBLE, shm_number_at(values, row));
        out = put_exemplars(out, points, NUMBER_EXEMPLARS, &next, row);
        out = shm_wire_closed(content, out);
    }
    return out;
}

static char *put_sum(char *out, struct shm_column sums, size_t row)
{
    return sums.first == NULL ? out : shm_wire_double(out, SUM, shm_number_at(sums, row));
}

char *shm_points_bounded(char *out, const struct shm_points *points,
                         const struct shm_bounded *histogram, size_t from, size_t to)
{
    size_t next = shm_exemplars_before(points->exemplars, from);
    size_t n = histogram->buckets.n;
    size_t bounds_bytes = (n - 1) * sizeof *histogram->bounds;
    for (size_t row = from; row < to; row++) {
        struct shm_row buckets = shm_row(&histogram->buckets, row);
        char *content = shm_wire_opened(out, DATA_POINTS);
        out = put_sum(put_ids(content, points, row), histogram->sums, row);
        uint64_t count = 0;
        out = shm_wire_opening(out, BUCKET_COUNTS, n * sizeof count);
        for (size_t i = 0; i < n; i++) {
            uint64_t here = shm_row_at(buckets, i);
            memcpy(out, &here, sizeof here);
            out += sizeof here;
            count += here;
        }
        out = shm_wire_opening(out, EXPLICIT_BOUNDS, bounds_bytes);
        out = shm_put(out, (const char *)histogram->bounds, bounds_bytes);
        out = shm_wire_fixed64(out, COUNT, count); /* fields may come in any order */
        out = put_exemplars(out, points, BOUNDED_EXEMPLARS, &next, row);
        out = shm_wire_closed(content, out);
    }
    return out;
}

/* Writes the buckets from the first to the last that is not empty; their counts are added up. OTLP
 * counts a bucket from its lower bound, Prometheus from its upper one. */
static char *put_positive(char *out, const struct shm_native *native, size_t row, uint64_t *count)
{
    struct shm_row counts = shm_row(&native->counts, row);
    size_t begin = 0, end = counts.n;
    while (end > begin && shm_row_at(counts, end - 1) == 0)
        end--;
    while (begin < end && shm_row_at(counts, begin) == 0)
        begin++;
    if (begin == end)
        return out;
    char *content = shm_wire_opened(out, POSITIVE);
    out = shm_wire_varint(content, OFFSET, shm_zigzag((int64_t)native->first + (int64_t)begin - 1));
    char *packed = shm_wire_opened(out, COUNTS);
    out = packed;
    for (size_t i = begin; i < end; i++) {
        uint64_t here = shm_row_at(counts, i);
        out = shm_put_varint(out, here);
        *count += here;
    }
    out = shm_wire_closed(packed, out);
    return shm_wire_closed(content, out);
}

char *shm_points_exponential(char *out, const struct shm_points *points,
                             const struct shm_exponential *histogram, size_t from, size_t to)
{
    const struct shm_native *native = histogram->native;
    size_t next = shm_exemplars_before(points->exemplars, from);
    for (size_t row = from; row < to; row++) {
        uint64_t count = shm_whole_at(native->zeros, row);
        char *content = shm_wire_opened(out, DATA_POINTS);
        out = put_sum(put_ids(content, points, row), histogram->sums, row);
        out = shm_wire_varint(out, SCALE, shm_zigzag(native->schema));
        out = shm_wire_fixed64(out, ZERO_COUNT, count);
        out = shm_wire_double(out, ZERO_THRESHOLD, native->zero_threshold);
        out = put_positive(out, native, row, &count);
        out = shm_wire_fixed64(out, COUNT, count);
        out = put_exemplars(out, points, EXPONENTIAL_EXEMPLARS, &next, row);
        out = shm_wire_closed(content, out);
    }
    return out;
}

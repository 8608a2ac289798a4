/* SPDX-License-Identifier: Apache-2.0 */
#include "remote_write.h"

#include "hex_label.h"
#include "put.h"
#include "wire.h"

enum { TIMESERIES = 1, TIMESERIES_V2 = 5 };               /* of WriteRequest, and of Request */
enum { SAMPLE = 2, EXEMPLAR = 3, HISTOGRAM = 4 };         /* of TimeSeries */
enum { LABELS_V2 = 1, HISTOGRAM_V2 = 3, CREATED_V2 = 6 }; /* of TimeSeries, where 2.0 differs */
enum { VALUE = 1, TIMESTAMP = 2 };                        /* of Sample */
enum { EXEMPLAR_VALUE = 2, EXEMPLAR_TIMESTAMP = 3 };      /* of Exemplar */
enum { COUNT = 1, SUM = 3, HISTOGRAM_TIMESTAMP = 15 };    /* of Histogram */

enum { EXEMPLAR_BOUND = 128, FRAME_BOUND = 96 };

/* The first millisecond of the year 10000, as seconds. */
static const double TIME_ENDS = 253402300800.0;

size_t shm_remote_reach(const struct shm_remote_family *family, const struct shm_native *native,
                        size_t from, size_t to, size_t most_bytes, size_t *n_bytes)
{
    size_t fixed =
        family->name.n_bytes + family->le.n_bytes + family->metadata.n_bytes + FRAME_BOUND;
    if (native != NULL)
        fixed += shm_native_bound(native);
    size_t row = from;
    for (*n_bytes = 0; row < to; row++) {
        size_t more = fixed + (size_t)(family->parts[3 * row + 3] - family->parts[3 * row]);
        if (row > from && *n_bytes + more > most_bytes)
            break;
        *n_bytes += more;
    }
    *n_bytes += EXEMPLAR_BOUND * (shm_exemplars_before(family->exemplars, row) -
                                  shm_exemplars_before(family->exemplars, from));
    return row;
}

static char *put_fields(char *out, struct shm_fields fields)
{
    return shm_put(out, fields.bytes, fields.n_bytes);
}

static char *put_label_list(char *out, const struct shm_remote_family *family, size_t row)
{
    const uint64_t *parts = family->parts + 3 * row;
    const char *labels = family->labels;
    out = shm_put(out, labels + parts[0], (size_t)(parts[1] - parts[0]));
    out = put_fields(out, family->name);
    out = shm_put(out, labels + parts[1], (size_t)(parts[2] - parts[1]));
    out = put_fields(out, family->le);
    return shm_put(out, labels + parts[2], (size_t)(parts[3] - parts[2]));
}

static char *put_labels(char *out, const struct shm_remote_family *family, size_t row)
{
    if (!family->is_v2)
        return put_label_list(out, family, row);
    char *packed = shm_wire_opened(out, LABELS_V2);
    return shm_wire_closed(packed, put_label_list(packed, family, row));
}

/* Begins a series; returns where its content begins. */
static char *open_series(char *out, const struct shm_remote_family *family)
{
    return shm_wire_opened(out, family->is_v2 ? TIMESERIES_V2 : TIMESERIES);
}

/* Ends a series, with what 2.0 has beside samples. */
static char *close_series(char *content, char *out, const struct shm_remote_family *family,
                          size_t row)
{
    if (family->is_v2) {
        out = put_fields(out, family->metadata);
        double created = -1;
        if (family->created.first != NULL)
            created = shm_number_at(family->created, row);
        if (created > 0 && created < TIME_ENDS)
            out = shm_wire_varint(out, CREATED_V2, (uint64_t)(created * 1e3));
    }
    return shm_wire_closed(content, out);
}

static char *put_exemplar(char *out, const struct shm_exemplar *exemplar)
{
    char *content = shm_wire_opened(out, EXEMPLAR);
    out = shm_put_trace_labels(content, &exemplar->trace, shm_exemplar_has_span(exemplar));
    out = shm_wire_double(out, EXEMPLAR_VALUE, exemplar->value);
    out = shm_wire_varint(out, EXEMPLAR_TIMESTAMP, exemplar->stamp_ns / 1000000);
    return shm_wire_closed(content, out);
}

/* Writes the next exemplars that are of a row; unless all, only those of a bucket. */
static char *put_exemplars(char *out, struct shm_exemplars_of_rows exemplars, size_t *next,
                           size_t row, size_t bucket, int all)
{
    while (*next < exemplars.n && exemplars.first[*next].series <= row) {
        const struct shm_exemplar *exemplar = exemplars.first + (*next)++;
        if (exemplar->series == row && (all || exemplar->bucket == bucket))
            out = put_exemplar(out, exemplar);
    }
    return out;
}

char *shm_remote_samples(char *out, const struct shm_remote_family *family,
                         struct shm_column values, size_t bucket, size_t from, size_t to)
{
    size_t next = shm_exemplars_before(family->exemplars, from);
    size_t sample_bytes = SHM_WIRE_DOUBLE_BYTES + shm_wire_varint_bytes(family->stamp_ms);
    for (size_t row = from; row < to; row++) {
        char *content = open_series(out, family);
        out = put_labels(content, family, row);
        out = shm_wire_opening(out, SAMPLE, sample_bytes);
        out = shm_wire_double(out, VALUE, shm_number_at(values, row));
        out = shm_wire_varint(out, TIMESTAMP, family->stamp_ms);
        out = put_exemplars(out, family->exemplars, &next, row, bucket, 0);
        out = close_series(content, out, family, row);
    }
    return out;
}

static uint64_t count_of(const struct shm_native *native, size_t row)
{
    struct shm_row counts = shm_row(&native->counts, row);
    uint64_t count = shm_whole_at(native->zeros, row);
    for (size_t i = 0; i < counts.n; i++)
        count += shm_row_at(counts, i);
    return count;
}

char *shm_remote_histograms(char *out, const struct shm_remote_family *family,
                            const struct shm_native *native, struct shm_column sums, size_t from,
                            size_t to)
{
    size_t next = shm_exemplars_before(family->exemplars, from);
    for (size_t row = from; row < to; row++) {
        char *content = open_series(out, family);
        out = put_labels(content, family, row);
        char *histogram = shm_wire_opened(out, family->is_v2 ? HISTOGRAM_V2 : HISTOGRAM);
        out = shm_wire_varint(histogram, COUNT, count_of(native, row));
        out = shm_wire_double(out, SUM, shm_number_at(sums, row));
        out = shm_put_native(out, native, row);
        out = shm_wire_varint(out, HISTOGRAM_TIMESTAMP, family->stamp_ms);
        out = shm_wire_closed(histogram, out);
        out = put_exemplars(out, family->exemplars, &next, row, 0, 1);
        out = close_series(content, out, family, row);
    }
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <math.h>
#include <string.h>

#include "put.h"

char *shm_text_escape(char *out, const char *value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++) {
        char byte = value[i];
        if (byte == '\\' || byte == '"' || byte == '\n')
            *out++ = '\\';
        *out++ = byte == '\n' ? 'n' : byte;
    }
    return out;
}

size_t shm_text_bound(const struct shm_text_family *family, size_t n_lines,
                      const struct shm_text_les *les, struct shm_exemplars_of_rows exemplars)
{
    /* Two braces, a comma beside le, a space, a newline; two quotes and a comma behind a name. */
    size_t line = family->name_bytes + SHM_TEXT_SUFFIX_BYTES + SHM_TEXT_NUMBER_BYTES + 8;
    size_t le_bytes = les == NULL ? 0 : (size_t)(les->offsets[les->n] - les->offsets[0]);
    size_t label_bytes = (size_t)(family->parts[2 * family->n_rows] - family->parts[0]);
    return family->n_rows * (n_lines * line + le_bytes) + n_lines * label_bytes +
           exemplars.n * SHM_TEXT_EXEMPLAR_BYTES;
}

static char *put_value(char *out, struct shm_column column, size_t row)
{
    return column.counts ? shm_text_count(out, shm_whole_at(column, row))
                         : shm_text_number(out, shm_number_at(column, row));
}

/* Writes a label of an exemplar. */
static char *put_id(char *out, const char *name, const uint8_t *bytes, size_t n_bytes)
{
    out = shm_put_hex(shm_put_string(out, name), bytes, n_bytes);
    *out++ = '"';
    return out;
}

static char *put_digits(char *out, uint64_t number, int n)
{
    for (int i = n - 1; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + n;
}

static char *put_exemplar(char *out, const struct shm_exemplar *exemplar)
{
    const uint64_t second_ns = UINT64_C(1000000000);
    const struct shm_trace *trace = &exemplar->trace;
    out = shm_put_string(out, " # {");
    if (shm_exemplar_has_span(exemplar)) {
        out = put_id(out, "span_id=\"", trace->span, sizeof trace->span);
        *out++ = ',';
    }
    out = put_id(out, "trace_id=\"", trace->id, sizeof trace->id);
    out = shm_put_string(out, "} ");
    out = shm_text_number(out, exemplar->value);
    *out++ = ' ';
    int n = 1;
    for (uint64_t left = exemplar->stamp_ns / second_ns / 10; left > 0; left /= 10)
        n++;
    out = put_digits(out, exemplar->stamp_ns / second_ns, n);
    *out++ = '.';
    return put_digits(out, exemplar->stamp_ns % second_ns, 9);
}

/* Ends a line, with the next exemplar if it belongs there. */
static char *end_line(char *out, struct shm_exemplars_of_rows *left, size_t row, size_t bucket)
{
    if (left->n > 0 && left->first->series == row && left->first->bucket == bucket) {
        out = put_exemplar(out, left->first);
        left->first++;
        left->n--;
    }
    *out++ = '\n';
    return out;
}

/* Writes a name that must be quoted. */
static char *put_quoted(char *out, const struct shm_text_family *family, const char *suffix)
{
    out = shm_put_string(out, "{\"");
    out = shm_put_string(shm_put(out, family->name, family->name_bytes), suffix);
    *out++ = '"';
    return out;
}

/* Writes all of a line that comes before its number. */
static char *put_head(char *out, const struct shm_text_family *family, const char *suffix,
                      size_t row)
{
    const uint64_t *parts = family->parts + 2 * row;
    int has_labels = parts[2] > parts[0];
    if (__builtin_expect(family->quoted, 0)) {
        out = put_quoted(out, family, suffix);
        if (has_labels)
            *out++ = ',';
        out = shm_put(out, family->labels + parts[0], (size_t)(parts[2] - parts[0]));
        return shm_put_string(out, "} ");
    }
    out = shm_put(out, family->name, family->name_bytes);
    out = shm_put_string(out, suffix);
    if (has_labels) {
        *out++ = '{';
        out = shm_put(out, family->labels + parts[0], (size_t)(parts[2] - parts[0]));
        *out++ = '}';
    }
    *out++ = ' ';
    return out;
}

static char *put_scalar(char *out, const struct shm_text_family *family, const char *suffix,
                        struct shm_column values, size_t row)
{
    return put_value(put_head(out, family, suffix, row), values, row);
}

static char *put_created(char *out, const struct shm_text_family *family,
                         struct shm_column created, size_t row)
{
    if (created.first == NULL || isnan(shm_number_at(created, row)))
        return out;
    out = put_scalar(out, family, "_created", created, row);
    *out++ = '\n';
    return out;
}

char *shm_text_scalars(char *out, const struct shm_text_family *family, const char *suffix,
                       struct shm_column values, struct shm_column created,
                       struct shm_exemplars_of_rows exemplars)
{
    for (size_t row = 0; row < family->n_rows; row++) {
        out = put_scalar(out, family, suffix, values, row);
        out = end_line(out, &exemplars, row, 0);
        out = put_created(out, family, created, row);
    }
    return out;
}

/* Writes the lines of a row's buckets. They differ in le and value only: the text around these is
 * put together in the first line and copied from there. */
static char *put_buckets(char *out, const struct shm_text_family *family,
                         const struct shm_text_les *les, struct shm_counts_of_rows buckets,
                         size_t row, uint64_t *count, struct shm_exemplars_of_rows *left)
{
    const uint64_t *parts = family->parts + 2 * row;
    struct shm_row counts = shm_row(&buckets, row);
    size_t before_bytes = (size_t)(parts[1] - parts[0]);
    size_t after_bytes = (size_t)(parts[2] - parts[1]);
    const char *head = out;
    size_t head_bytes = 0;
    const char *tail = NULL;
    size_t tail_bytes = 0;

    for (size_t i = 0; i < les->n; i++) {
        const char *le = les->text + les->offsets[i];
        size_t le_bytes = (size_t)(les->offsets[i + 1] - les->offsets[i]);
        if (i == 0) {
            if (__builtin_expect(family->quoted, 0)) {
                out = put_quoted(out, family, "_bucket");
                *out++ = ',';
            } else {
                out = shm_put_string(shm_put(out, family->name, family->name_bytes), "_bucket{");
            }
            out = shm_put(out, family->labels + parts[0], before_bytes);
            if (before_bytes > 0 && after_bytes == 0)
                *out++ = ',';
            head_bytes = (size_t)(out - head);
            out = shm_put(out, le, le_bytes);
            tail = out;
            if (after_bytes > 0)
                *out++ = ',';
            out = shm_put_string(shm_put(out, family->labels + parts[1], after_bytes), "} ");
            tail_bytes = (size_t)(out - tail);
        } else {
            out = shm_put(shm_put(shm_put(out, head, head_bytes), le, le_bytes), tail, tail_bytes);
        }
        *count += shm_row_at(counts, i);
        out = end_line(shm_text_count(out, *count), left, row, i);
    }
    return out;
}

char *shm_text_histograms(char *out, const struct shm_text_family *family,
                          const struct shm_text_les *les, struct shm_counts_of_rows buckets,
                          struct shm_column sums, struct shm_column created,
                          struct shm_exemplars_of_rows exemplars)
{
    for (size_t row = 0; row < family->n_rows; row++) {
        uint64_t count = 0;
        out = put_buckets(out, family, les, buckets, row, &count, &exemplars);
        out = shm_text_count(put_head(out, family, "_count", row), count);
        *out++ = '\n';
        if (sums.first != NULL) {
            out = put_scalar(out, family, "_sum", sums, row);
            *out++ = '\n';
        }
        out = put_created(out, family, created, row);
    }
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <math.h>
#include <string.h>

#include "decimal.h"

static char *put(char *out, const char *text, size_t n_bytes)
{
    memcpy(out, text, n_bytes);
    return out + n_bytes;
}

static char *put_string(char *out, const char *text)
{
    return put(out, text, strlen(text));
}

static char *put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

/* ---- numbers ---------------------------------------------------------------------------------- */

enum { MAX_DIGITS = 20 };

/* Writes the digits so that they end at end; returns where they begin. */
static char *digits_before(char *end, uint64_t value)
{
    static const char pairs[] = "00010203040506070809"
                                "10111213141516171819"
                                "20212223242526272829"
                                "30313233343536373839"
                                "40414243444546474849"
                                "50515253545556575859"
                                "60616263646566676869"
                                "70717273747576777879"
                                "80818283848586878889"
                                "90919293949596979899";
    while (value >= 100) {
        end -= 2;
        memcpy(end, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        end -= 2;
        memcpy(end, pairs + value * 2, 2);
    } else {
        *--end = (char)('0' + value);
    }
    return end;
}

static char *put_exponent(char *out, int exponent)
{
    char digits[MAX_DIGITS];
    char *end = digits + MAX_DIGITS;
    *out++ = 'e';
    *out++ = exponent < 0 ? '-' : '+';
    char *first = digits_before(end, (uint64_t)(exponent < 0 ? -exponent : exponent));
    if (end - first < 2)
        *--first = '0';
    return put(out, first, (size_t)(end - first));
}

/* fixed_digits: with more digits before the point than these the number gets an exponent. */
static char *put_decimal(char *out, struct shm_decimal decimal, int fixed_digits)
{
    char buffer[MAX_DIGITS];
    char *end = buffer + MAX_DIGITS;
    const char *digits = digits_before(end, decimal.digits);
    int point = (int)(end - digits) + decimal.exponent; /* digits before the point */
    while (end[-1] == '0' && end - digits > 1)
        end--;
    int n = (int)(end - digits);

    if (point <= -4 || point > fixed_digits) {
        *out++ = digits[0];
        if (n > 1) {
            *out++ = '.';
            out = put(out, digits + 1, (size_t)n - 1);
        }
        return put_exponent(out, point - 1);
    }
    if (point <= 0) {
        out = put_zeros(put_string(out, "0."), -point);
        return put(out, digits, (size_t)n);
    }
    if (n <= point) {
        out = put_zeros(put(out, digits, (size_t)n), point - n);
        return put_string(out, ".0");
    }
    out = put(out, digits, (size_t)point);
    *out++ = '.';
    return put(out, digits + point, (size_t)(n - point));
}

/* Where exponents begin: for repr() at 10^16, for Go, whose rule prometheus_client follows where
 * the number is positive, at 10^6. */
enum { FIXED_DIGITS = 16, FIXED_DIGITS_POSITIVE = 6 };

static const double INTEGERS_END = 9007199254740992.0; /* 2^53: below it an integer is its digits */

char *shm_text_number(char *out, double value)
{
    if (isnan(value))
        return put_string(out, "NaN");
    if (isinf(value))
        return put_string(out, value > 0 ? "+Inf" : "-Inf");
    int fixed_digits = FIXED_DIGITS_POSITIVE;
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
        fixed_digits = FIXED_DIGITS;
    }
    if (value < INTEGERS_END && (double)(uint64_t)value == value) {
        if (value == 0)
            return put_string(out, "0.0");
        return put_decimal(out, (struct shm_decimal){(uint64_t)value, 0}, fixed_digits);
    }
    return put_decimal(out, shm_decimal_shortest(value), fixed_digits);
}

char *shm_text_count(char *out, uint64_t value)
{
    if (value >= 1000000)
        return shm_text_number(out, (double)value);
    char buffer[MAX_DIGITS];
    const char *digits = digits_before(buffer + MAX_DIGITS, value);
    out = put(out, digits, (size_t)(buffer + MAX_DIGITS - digits));
    return put_string(out, ".0");
}

/* ---- labels ----------------------------------------------------------------------------------- */

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

/* ---- lines ------------------------------------------------------------------------------------ */

size_t shm_text_bound(const struct shm_text_family *family, size_t n_lines,
                      const struct shm_text_les *les)
{
    /* Two braces, a comma beside le, a space, a newline. */
    size_t line = family->name_bytes + SHM_TEXT_SUFFIX_BYTES + SHM_TEXT_NUMBER_BYTES + 5;
    size_t le_bytes = les == NULL ? 0 : (size_t)(les->offsets[les->n] - les->offsets[0]);
    size_t label_bytes = (size_t)(family->parts[2 * family->n_rows] - family->parts[0]);
    return family->n_rows * (n_lines * line + le_bytes) + n_lines * label_bytes;
}

static uint64_t count_at(const char *first, ptrdiff_t at_bytes)
{
    uint64_t count;
    memcpy(&count, first + at_bytes, sizeof count);
    return count;
}

static char *put_value(char *out, struct shm_text_column column, size_t row)
{
    ptrdiff_t at_bytes = (ptrdiff_t)row * column.stride_bytes;
    if (column.counts)
        return shm_text_count(out, count_at(column.first, at_bytes));
    double value;
    memcpy(&value, column.first + at_bytes, sizeof value);
    return shm_text_number(out, value);
}

/* All of a line that comes before its number. */
static char *put_head(char *out, const struct shm_text_family *family, const char *suffix,
                      size_t row)
{
    const uint64_t *parts = family->parts + 2 * row;
    out = put(out, family->name, family->name_bytes);
    out = put_string(out, suffix);
    if (parts[2] > parts[0]) {
        *out++ = '{';
        out = put(out, family->labels + parts[0], (size_t)(parts[2] - parts[0]));
        *out++ = '}';
    }
    *out++ = ' ';
    return out;
}

static char *put_scalar(char *out, const struct shm_text_family *family, const char *suffix,
                        struct shm_text_column values, size_t row)
{
    out = put_value(put_head(out, family, suffix, row), values, row);
    *out++ = '\n';
    return out;
}

char *shm_text_scalars(char *out, const struct shm_text_family *family, const char *suffix,
                       struct shm_text_column values, struct shm_text_column created)
{
    for (size_t row = 0; row < family->n_rows; row++) {
        out = put_scalar(out, family, suffix, values, row);
        if (created.first != NULL)
            out = put_scalar(out, family, "_created", created, row);
    }
    return out;
}

/* The lines of a row's buckets. They differ in le and value only: what surrounds these is put
 * together in the first line and copied from there. */
static char *put_buckets(char *out, const struct shm_text_family *family,
                         const struct shm_text_les *les, struct shm_text_buckets buckets,
                         size_t row, uint64_t *count)
{
    const uint64_t *parts = family->parts + 2 * row;
    const char *counts = buckets.first + (ptrdiff_t)row * buckets.row_stride_bytes;
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
            out = put_string(put(out, family->name, family->name_bytes), "_bucket{");
            out = put(out, family->labels + parts[0], before_bytes);
            if (before_bytes > 0 && after_bytes == 0)
                *out++ = ',';
            head_bytes = (size_t)(out - head);
            out = put(out, le, le_bytes);
            tail = out;
            if (after_bytes > 0)
                *out++ = ',';
            out = put_string(put(out, family->labels + parts[1], after_bytes), "} ");
            tail_bytes = (size_t)(out - tail);
        } else {
            out = put(put(put(out, head, head_bytes), le, le_bytes), tail, tail_bytes);
        }
        *count += count_at(counts, (ptrdiff_t)i * buckets.bucket_stride_bytes);
        out = shm_text_count(out, *count);
        *out++ = '\n';
    }
    return out;
}

char *shm_text_histograms(char *out, const struct shm_text_family *family,
                          const struct shm_text_les *les, struct shm_text_buckets buckets,
                          struct shm_text_column sums, struct shm_text_column created)
{
    for (size_t row = 0; row < family->n_rows; row++) {
        uint64_t count = 0;
        out = put_buckets(out, family, les, buckets, row, &count);
        out = shm_text_count(put_head(out, family, "_count", row), count);
        *out++ = '\n';
        if (sums.first != NULL)
            out = put_scalar(out, family, "_sum", sums, row);
        if (created.first != NULL)
            out = put_scalar(out, family, "_created", created, row);
    }
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <math.h>
#include <string.h>

#include "decimal.h"
#include "put.h"

static char *put_zeros(char *out, int n)
{
    memset(out, '0', (size_t)n);
    return out + n;
}

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
    return shm_put(out, first, (size_t)(end - first));
}

/* Writes a decimal. fixed_digits: with more digits than these before the point it gets an
 * exponent. */
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
            out = shm_put(out, digits + 1, (size_t)n - 1);
        }
        return put_exponent(out, point - 1);
    }
    if (point <= 0) {
        out = put_zeros(shm_put_string(out, "0."), -point);
        return shm_put(out, digits, (size_t)n);
    }
    if (n <= point) {
        out = put_zeros(shm_put(out, digits, (size_t)n), point - n);
        return shm_put_string(out, ".0");
    }
    out = shm_put(out, digits, (size_t)point);
    *out++ = '.';
    return shm_put(out, digits + point, (size_t)(n - point));
}

/* The digits of an integer part that is written without an exponent: up to 10^16 as repr() does, up
 * to 10^6 as Go does, whose rule prometheus_client follows where the number is positive. */
enum { FIXED_DIGITS = 16, FIXED_DIGITS_POSITIVE = 6 };

static const double INTEGERS_END = 9007199254740992.0; /* 2^53: below it an integer is its digits */

char *shm_text_number(char *out, double value)
{
    if (isnan(value))
        return shm_put_string(out, "NaN");
    if (isinf(value))
        return shm_put_string(out, value > 0 ? "+Inf" : "-Inf");
    int fixed_digits = FIXED_DIGITS_POSITIVE;
    if (signbit(value)) {
        *out++ = '-';
        value = -value;
        fixed_digits = FIXED_DIGITS;
    }
    if (value < INTEGERS_END && (double)(uint64_t)value == value) {
        if (value == 0)
            return shm_put_string(out, "0.0");
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
    out = shm_put(out, digits, (size_t)(buffer + MAX_DIGITS - digits));
    return shm_put_string(out, ".0");
}

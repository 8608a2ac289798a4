/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of traces and spans, from the digits in which people pass them on. */
#ifndef SHM_TRACE_H
#define SHM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "layout.h"

/* Returns a digit's value, 0 to 15; more if it is no hexadecimal digit. */
static inline unsigned shm_hex_digit(char digit)
{
    unsigned byte = (unsigned char)digit;
    if (byte - '0' < 10)
        return byte - '0';
    byte |= 0x20; /* lower case */
    return byte - 'a' < 6 ? byte - 'a' + 10 : 16;
}

/* Reads n_bytes of two digits each. Returns false for other characters, or if all are zero: that is
 * nobody's id. */
static inline bool shm_hex_read(uint8_t *to, size_t n_bytes, const char *digits)
{
    unsigned any = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        unsigned high = shm_hex_digit(digits[2 * i]);
        unsigned low = shm_hex_digit(digits[2 * i + 1]);
        if ((high | low) > 15)
            return false;
        to[i] = (uint8_t)(high << 4 | low);
        any |= to[i];
    }
    return any != 0;
}

/* Reads the id of a trace, 32 digits or a UUID with its dashes; sets no span. Returns false if id
 * is neither. */
static inline bool shm_trace_read(struct shm_trace *trace, const char *id, size_t length)
{
    char digits[32];
    size_t n = 0;
    memset(trace, 0, sizeof *trace);
    if (length != sizeof digits && length != sizeof digits + 4)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (length == sizeof digits || (i != 8 && i != 13 && i != 18 && i != 23))
            digits[n++] = id[i];
        else if (id[i] != '-')
            return false;
    }
    return shm_hex_read(trace->id, sizeof trace->id, digits);
}

/* Reads the id of a span in the trace, 16 digits. Returns false if it is none; then there is no
 * span. */
static inline bool shm_span_read(struct shm_trace *trace, const char *id, size_t length)
{
    if (length == 16 && shm_hex_read(trace->span, sizeof trace->span, id))
        return true;
    memset(trace->span, 0, sizeof trace->span);
    return false;
}

#endif

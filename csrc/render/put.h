/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that write text to out, where there is room (see shm_text_bound()), and return its
 * end. */
#ifndef SHM_PUT_H
#define SHM_PUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Copies text of half to n_bytes of it twice: the ends overlap, so that no length needs a loop. */
#define SHM_PUT_ENDS(out, text, n_bytes, half)                                                     \
    do {                                                                                           \
        memcpy((out), (text), (half));                                                             \
        memcpy((out) + (n_bytes) - (half), (text) + (n_bytes) - (half), (half));                   \
    } while (0)

/* Writes n_bytes of text. Inline and not a call: the parts of a line have some bytes to some
 * hundred, which are copied in less time than memcpy() takes to find out how. */
static inline char *shm_put(char *out, const char *text, size_t n_bytes)
{
    if (n_bytes > 32) {
        for (size_t at = 0; at + 32 < n_bytes; at += 32)
            memcpy(out + at, text + at, 32);
        memcpy(out + n_bytes - 32, text + n_bytes - 32, 32);
    } else if (n_bytes >= 16) {
        SHM_PUT_ENDS(out, text, n_bytes, 16);
    } else if (n_bytes >= 8) {
        SHM_PUT_ENDS(out, text, n_bytes, 8);
    } else if (n_bytes >= 4) {
        SHM_PUT_ENDS(out, text, n_bytes, 4);
    } else {
        for (size_t at = 0; at < n_bytes; at++)
            out[at] = text[at];
    }
    return out + n_bytes;
}

/* Writes a string. */
static inline char *shm_put_string(char *out, const char *text)
{
    return shm_put(out, text, strlen(text));
}

/* Writes bytes as hexadecimal digits, two of each. */
static inline char *shm_put_hex(char *out, const uint8_t *bytes, size_t n_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n_bytes; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return out;
}

#endif

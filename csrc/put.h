/* SPDX-License-Identifier: Apache-2.0 */
/* Text goes to out, and the end of it comes back. There is room: see shm_text_bound(). */
#ifndef SHM_PUT_H
#define SHM_PUT_H

#include <string.h>

static inline char *shm_put(char *out, const char *text, size_t n_bytes)
{
    memcpy(out, text, n_bytes);
    return out + n_bytes;
}

static inline char *shm_put_string(char *out, const char *text)
{
    return shm_put(out, text, strlen(text));
}

#endif

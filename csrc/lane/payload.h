/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of dictionary entries, for emitters written in C (shmetrics/dictionary.py is the same
 * for Python):
 *
 *   family     bounds (f64 each), then strings: name, help, unit, mode, label names...
 *   series     strings: one value per label name
 *   exception  one string: the class name
 *
 * Strings are a uint16 count, then for each a uint16 length and as many bytes of UTF-8.
 */
#ifndef SHM_PAYLOAD_H
#define SHM_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A payload under construction, in the caller's memory, which has to outlive its use. */
struct shm_payload {
    unsigned char *bytes;
    uint32_t capacity;
    uint32_t used;
    uint32_t count_at; /* where the number of strings stands */
};

/* Appends n bytes. Returns false if they do not fit. */
static inline bool shm_payload_put(struct shm_payload *payload, const void *bytes, uint32_t n)
{
    if (n > payload->capacity - payload->used)
        return false;
    if (n)
        memcpy(payload->bytes + payload->used, bytes, n);
    payload->used += n;
    return true;
}

/* Begins a payload: the bounds of a family with buckets, n_bounds 0 for anything else. Returns
 * false, as the next function does, if the memory is too small. */
static inline bool shm_payload_begin(struct shm_payload *payload, void *memory, uint32_t capacity,
                                     const double *bounds, uint32_t n_bounds)
{
    const uint16_t none = 0;
    *payload = (struct shm_payload){.bytes = memory, .capacity = capacity};
    if (!shm_payload_put(payload, bounds, n_bounds * (uint32_t)sizeof *bounds))
        return false;
    payload->count_at = payload->used;
    return shm_payload_put(payload, &none, sizeof none);
}

/* Appends a string. Returns false if it does not fit. */
static inline bool shm_payload_string(struct shm_payload *payload, const char *string)
{
    uint16_t count;
    const size_t n = strlen(string);
    const uint16_t length = (uint16_t)n;
    if (length != n || !shm_payload_put(payload, &length, sizeof length) ||
        !shm_payload_put(payload, string, length))
        return false;
    memcpy(&count, payload->bytes + payload->count_at, sizeof count);
    count++;
    memcpy(payload->bytes + payload->count_at, &count, sizeof count);
    return true;
}

#endif

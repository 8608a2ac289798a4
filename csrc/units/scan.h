/* SPDX-License-Identifier: Apache-2.0 */
/* Steps through text of the kernel, or of whoever pretends to be it. Every step is checked against
 * the end: no text has to end with a newline or a NUL. */
#ifndef SHM_UNITS_SCAN_H
#define SHM_UNITS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What is left of a text: from at to before end. */
struct shm_scan {
    const char *at;
    const char *end;
};

/* A number from here on is none: cgroup v1 writes "no limit" as the largest multiple of a page
 * below 2^63, and no counter comes near in a century. */
#define SHM_UNIT_NO_LIMIT (UINT64_C(1) << 62)

static inline bool shm_scan_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Skips spaces and tabs. */
static inline void shm_scan_blanks(struct shm_scan *scan)
{
    while (scan->at < scan->end && shm_scan_is_blank(*scan->at))
        scan->at++;
}

/* Cuts off the next line, without its newline. Returns false if there is none. */
static inline bool shm_scan_line(struct shm_scan *scan, struct shm_scan *line)
{
    if (scan->at == scan->end)
        return false;
    const char *newline = memchr(scan->at, '\n', (size_t)(scan->end - scan->at));
    line->at = scan->at;
    line->end = newline != NULL ? newline : scan->end;
    scan->at = newline != NULL ? newline + 1 : scan->end;
    return true;
}

/* Cuts off the next word, up to a blank or the end. Returns false if there is none. */
static inline bool shm_scan_word(struct shm_scan *line, struct shm_scan *word)
{
    shm_scan_blanks(line);
    word->at = line->at;
    while (line->at < line->end && !shm_scan_is_blank(*line->at))
        line->at++;
    word->end = line->at;
    return word->at < word->end;
}

/* Returns whether a word is these n_bytes of text. */
static inline bool shm_scan_is(const struct shm_scan *word, const char *text, size_t n_bytes)
{
    return (size_t)(word->end - word->at) == n_bytes && memcmp(word->at, text, n_bytes) == 0;
}

/* Takes digits from the beginning of a word. Returns false if there are none, or too many. */
static inline bool shm_scan_digits(struct shm_scan *word, uint64_t *value)
{
    uint64_t sum = 0;
    const char *first = word->at;
    for (; word->at < word->end && *word->at >= '0' && *word->at <= '9'; word->at++) {
        unsigned digit = (unsigned)(*word->at - '0');
        if (sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return word->at > first;
}

/* Takes what is left of a word as a number. Returns false for a word that is none: `max`, -1, a
 * limit that is no limit, or anything else but digits. */
static inline bool shm_scan_number(struct shm_scan word, double *value)
{
    uint64_t sum;
    if (!shm_scan_digits(&word, &sum) || word.at != word.end || sum >= SHM_UNIT_NO_LIMIT)
        return false;
    *value = (double)sum;
    return true;
}

#endif

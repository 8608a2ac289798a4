/* SPDX-License-Identifier: Apache-2.0 */
#include "process.h"

#include "scan.h"

/* Numbers of the fields, as the manual has them. */
enum { PARENT = 4, USER = 14, SYSTEM = 15, THREADS = 20, START = 22, VIRTUAL = 23, RSS = 24 };

static const char *last(const char *text, size_t n_bytes, char wanted)
{
    while (n_bytes-- > 0)
        if (text[n_bytes] == wanted)
            return text + n_bytes;
    return NULL;
}

bool shm_unit_process(const char *text, size_t n_bytes, struct shm_unit_process *process)
{
    const char *open = n_bytes ? memchr(text, '(', n_bytes) : NULL;
    const char *close = last(text, n_bytes, ')');
    if (open == NULL || close == NULL || close < open)
        return false;
    *process = (struct shm_unit_process){
        .name_at = (size_t)(open + 1 - text),
        .name_bytes = (size_t)(close - open - 1),
    };
    uint64_t *const wanted[RSS + 1] = {
        [PARENT] = &process->parent,       [USER] = &process->user_ticks,
        [SYSTEM] = &process->system_ticks, [THREADS] = &process->threads,
        [START] = &process->start_ticks,   [VIRTUAL] = &process->virtual_bytes,
        [RSS] = &process->rss_pages,
    };
    struct shm_scan scan = {close + 1, text + n_bytes}, line, word;
    if (!shm_scan_line(&scan, &line) || !shm_scan_word(&line, &word) || word.end - word.at != 1)
        return false;
    process->state = *word.at;
    for (int field = PARENT; field <= RSS; field++) {
        if (!shm_scan_word(&line, &word))
            return false;
        if (wanted[field] != NULL &&
            (!shm_scan_digits(&word, wanted[field]) || word.at != word.end))
            return false;
    }
    return true;
}

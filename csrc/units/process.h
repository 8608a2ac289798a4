/* SPDX-License-Identifier: Apache-2.0 */
/* A parser of /proc/PID/stat (proc_pid_stat(5)): `1 (name) S 0 1 1 ...`. The name is what the
 * process calls itself: it may have spaces, parentheses and newlines, so that its end is the last
 * parenthesis of all. */
#ifndef SHM_UNITS_PROCESS_H
#define SHM_UNITS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shm_unit_process {
    char state;           /* R, S, D, Z, ... */
    uint64_t parent;      /* pid */
    uint64_t user_ticks;
    uint64_t system_ticks;
    uint64_t threads;
    uint64_t start_ticks; /* since the boot */
    uint64_t virtual_bytes;
    uint64_t rss_pages;
    size_t name_at;       /* where its name is in the text */
    size_t name_bytes;
};

/* Reads a line. Returns false if it is not whole, or not of this form. */
bool shm_unit_process(const char *text, size_t n_bytes, struct shm_unit_process *process);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A pass over all processes of a node: one open, read and close of /proc/PID/stat for each, and a
 * look at the size of /proc/PID/fd, which is the number of open files since Linux 6.2. Nothing here
 * takes the lock of a process's memory. */
#ifndef SHM_UNITS_PROCESSES_H
#define SHM_UNITS_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A process, as ten numbers of 64 bits. */
struct shm_unit_process_record {
    uint64_t pid;
    uint64_t start_ticks; /* since the boot; with the pid it names the process */
    uint64_t state;       /* the character */
    uint64_t parent;
    uint64_t user_ticks;
    uint64_t system_ticks;
    uint64_t threads;
    uint64_t virtual_bytes;
    uint64_t rss_pages;
    uint64_t files; /* 0: none, or not known; SHM_UNIT_NOT_ASKED */
};

#define SHM_UNIT_NOT_ASKED UINT64_MAX

struct shm_unit_processes {
    struct shm_unit_process_record *records;
    size_t most; /* how many there is room for */
    size_t n;
    bool has_left_out;
    uint64_t number; /* of this pass, from 0 */
    uint64_t turns;  /* in one of so many passes a process is asked for its open files; and in the
                      * first: they are a quarter of what a process costs */
};

/* Reads all processes below a directory, which is /proc. One that ends meanwhile is left out.
 * Returns 0, or the errno of opening the directory. */
int shm_unit_processes(struct shm_unit_processes *processes, const char *proc);

#endif

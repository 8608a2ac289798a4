/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHM_SPAWN_START_H
#define SHM_SPAWN_START_H

/* Start a stranger's program from a process that may be root, with nothing of it left.
 *
 * The child shares the memory of its parent, which waits, until it runs the program: nothing is
 * copied, so a start costs the same however large the parent is. Until then it makes system calls
 * only, by syscall(2) where the library would keep state or tell other threads.
 *
 * That is vfork(2), but for one thing: there the parent waits for ever. The child is its new user's
 * for a moment before it runs the program, and that user may stop it (SIGSTOP), or keep the program
 * where reading it takes for ever. Here the parent ends a child that takes too long. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SHM_START_LIMITS = 5, SHM_START_WAIT_MS = 2000 };

/* The steps of a start in their order, to say at which one it failed. */
enum shm_start_step {
    SHM_START_CLONE,
    SHM_START_SESSION,
    SHM_START_CGROUP,
    SHM_START_DESCRIPTORS,
    SHM_START_LIMIT,
    SHM_START_USER,
    SHM_START_PRIVILEGES,
    SHM_START_DIRECTORY,
    SHM_START_EXEC,
    SHM_START_WAIT,
};

/* A limit of setrlimit(2), soft and hard. */
struct shm_start_limit {
    int resource;
    uint64_t most;
};

/* What to run, and as whom. Descriptors are above 2. */
struct shm_start {
    const char *path;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    int input, output, errors;
    int cgroup_procs; /* cgroup.procs of the run's cgroup, open for writing; -1: none */
    int changes_user; /* 0: the program runs as the user that the parent is */
    uid_t uid;
    gid_t gid;
    size_t group_count;
    const gid_t *groups;
    int nice; /* at least, from 0 to 19 */
    struct shm_start_limit limits[SHM_START_LIMITS];
    /* Set if it fails. */
    enum shm_start_step step;
    int error; /* errno */
};

/* Return the pid of the program, -1 with step and error set. The program's session and process
 * group are its pid. It gets SIGKILL when the thread that started it ends. */
pid_t shm_start(struct shm_start *start);

#endif

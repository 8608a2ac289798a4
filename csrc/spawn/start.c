/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "start.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The kernel's numbers, for which not every system has a header. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_IDLE (3 << 13)
#define CLOSE_ON_EXEC 4U

enum { STACK_BYTES = 64 * 1024 };

/* The child of clone(2) and what it needs of its parent. */
struct child {
    struct shm_start *start;
    pid_t parent;
};

static int fail(struct shm_start *start, enum shm_start_step step)
{
    start->step = step;
    start->error = errno;
    return -1;
}

/* Python ignores SIGPIPE, and a program that inherits that never notices that nobody reads. */
static void reset_signals(void)
{
    struct sigaction by_default;
    memset(&by_default, 0, sizeof by_default);
    by_default.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &by_default, NULL); /* EINVAL for SIGKILL, SIGSTOP and the library's */
}

static int take_descriptors(const struct shm_start *start)
{
    if (dup2(start->input, STDIN_FILENO) < 0 || dup2(start->output, STDOUT_FILENO) < 0 ||
        dup2(start->errors, STDERR_FILENO) < 0)
        return -1;
#ifdef SYS_close_range
    /* Older kernels cannot do it; all that the parent opens has O_CLOEXEC anyway. */
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_ON_EXEC) < 0 && errno != ENOSYS && errno != EINVAL)
        return -1;
#endif
    return 0;
}

static int take_limits(const struct shm_start *start)
{
    for (int i = 0; i < SHM_START_LIMITS; i++) {
        struct rlimit limit = {start->limits[i].most, start->limits[i].most};
        /* A parent that is not root may only lower its own hard limit. */
        struct rlimit own;
        if (getrlimit((__rlimit_resource_t)start->limits[i].resource, &own) < 0)
            return -1;
        if (limit.rlim_max > own.rlim_max)
            limit.rlim_cur = limit.rlim_max = own.rlim_max;
        if (setrlimit((__rlimit_resource_t)start->limits[i].resource, &limit) < 0)
            return -1;
    }
    /* A parent that has given others the way already may be no longer allowed to go before them. */
    if (getpriority(PRIO_PROCESS, 0) < start->nice &&
        setpriority(PRIO_PROCESS, 0, start->nice) < 0)
        return -1;
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_IDLE); /* only a courtesy */
    return 0;
}

/* The functions of the library for this ask all threads of the process to follow: here those of the
 * parent. */
static int become_user(const struct shm_start *start)
{
    if (!start->changes_user)
        return 0;
    if (syscall(SYS_setgroups, start->group_count, start->groups) < 0 ||
        syscall(SYS_setresgid, start->gid, start->gid, start->gid) < 0 ||
        syscall(SYS_setresuid, start->uid, start->uid, start->uid) < 0)
        return -1;
    return 0;
}

static int drop_privileges(pid_t parent)
{
    /* Ambient capabilities survive a change from one user to another. Old kernels have none. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    /* A change of the user clears it, so it is set after that. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return -1;
    if (getppid() != parent) { /* it has died before it was set */
        errno = ESRCH;
        return -1;
    }
    return 0;
}

static int run(const struct child *child)
{
    struct shm_start *start = child->start;
    reset_signals();
    if (setsid() < 0)
        return fail(start, SHM_START_SESSION);
    if (start->cgroup_procs >= 0 && write(start->cgroup_procs, "0", 1) != 1)
        return fail(start, SHM_START_CGROUP);
    if (take_descriptors(start) < 0)
        return fail(start, SHM_START_DESCRIPTORS);
    if (take_limits(start) < 0)
        return fail(start, SHM_START_LIMIT);
    if (become_user(start) < 0)
        return fail(start, SHM_START_USER);
    if (drop_privileges(child->parent) < 0)
        return fail(start, SHM_START_PRIVILEGES);
    umask(077);
    if (chdir(start->directory) < 0) /* as the user: root could go where the user may not */
        return fail(start, SHM_START_DIRECTORY);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(start->path, start->arguments, start->environment);
    return fail(start, SHM_START_EXEC);
}

static int run_or_exit(void *given)
{
    run(given);
    _exit(127);
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Wait until the child runs its program, or has ended: both close its end of the pipe. */
static int wait_for_exec(int pipe_end)
{
    struct pollfd end = {pipe_end, POLLIN, 0};
    int found;
    do
        found = poll(&end, 1, SHM_START_WAIT_MS);
    while (found < 0 && errno == EINTR);
    return found > 0 ? 0 : -1;
}

static pid_t start_child(struct shm_start *start)
{
    static char stack[STACK_BYTES] __attribute__((aligned(16)));
    struct child child = {start, getpid()};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail(start, SHM_START_CLONE);
    pid_t pid = clone(run_or_exit, stack + sizeof stack, CLONE_VM | SIGCHLD, &child);
    if (pid < 0)
        fail(start, SHM_START_CLONE);
    close(ends[1]);
    /* From here on errno is the child's too, until it runs its program or is gone. */
    if (pid > 0 && wait_for_exec(ends[0]) < 0) {
        kill(pid, SIGKILL);
        reap(pid);
        start->step = SHM_START_WAIT;
        start->error = ETIMEDOUT;
        pid = -1;
    } else if (pid > 0 && start->error) {
        reap(pid);
        pid = -1;
    }
    close(ends[0]);
    return pid;
}

pid_t shm_start(struct shm_start *start)
{
    start->error = 0;
    /* The parent's handlers must not run in the child, in memory that is the parent's too. */
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = start_child(start);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

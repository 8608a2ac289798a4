/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "guard.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local struct shm_guard *innermost;
static struct sigaction before;
static pthread_once_t installed = PTHREAD_ONCE_INIT;

/* Jumps out of the innermost guard, if the fault is in its memory. */
static void on_fault(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    struct shm_guard *guard = innermost;
    if (guard && at >= guard->first && at < guard->end)
        siglongjmp(guard->jump, 1);
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        /* Restores the system's own action; the faulting instruction is run again. */
        sigaction(SIGBUS, &before, NULL);
    }
}

static void install(void)
{
    /* SA_NODEFER: we leave by a jump, and the next fault has to be seen as well. */
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
}

void shm_guard_enter(struct shm_guard *guard, const void *base, uint64_t size_bytes)
{
    pthread_once(&installed, install);
    guard->first = (uintptr_t)base;
    guard->end = (uintptr_t)base + size_bytes;
    guard->outer = innermost;
    innermost = guard;
}

void shm_guard_leave(const struct shm_guard *guard)
{
    innermost = guard->outer;
}

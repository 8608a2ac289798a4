/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An emitter can cut its lane's file short while it is mapped here; touching what is gone raises
 * SIGBUS. A guard turns that into a return value:
 *
 *   struct shm_guard guard;
 *   if (SHM_GUARD(&guard, base, size_bytes)) {
 *       shm_guard_leave(&guard);
 *       return ...;            // the memory was cut short, somewhere below
 *   }
 *   ... touch the memory ...
 *   shm_guard_leave(&guard);
 *
 * Guards nest; each thread has its own. A SIGBUS anywhere else goes to the handler from before.
 */
#ifndef SHM_GUARD_H
#define SHM_GUARD_H

#include <setjmp.h>
#include <stdint.h>

struct shm_guard {
    sigjmp_buf jump;
    uintptr_t first;
    uintptr_t end;
    struct shm_guard *outer;
};

/* Enters a guard. Is true when it returns for the second time, because of a fault. */
#define SHM_GUARD(guard, base, size_bytes) \
    (shm_guard_enter(guard, base, size_bytes), sigsetjmp((guard)->jump, 0) != 0)

void shm_guard_enter(struct shm_guard *guard, const void *base, uint64_t size_bytes);
void shm_guard_leave(const struct shm_guard *guard);

#endif

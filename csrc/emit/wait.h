/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a descriptor, with an end that signals cannot move. */
#ifndef SHM_WAIT_H
#define SHM_WAIT_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "../lane/clock.h"

/* Waits until fd can be read or its peer is gone. Returns false when wait_ns are over. */
static inline bool shm_wait_readable(int fd, uint64_t wait_ns)
{
    uint64_t deadline_ns = shm_clock_ns() + wait_ns;
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        uint64_t now_ns = shm_clock_ns();
        uint64_t left_ns = now_ns < deadline_ns ? deadline_ns - now_ns : 0;
        int found = poll(&waiting, 1, (int)(left_ns / UINT64_C(1000000)));
        if (found > 0)
            return true;
        if (left_ns < UINT64_C(1000000) || (found < 0 && errno != EINTR))
            return false;
    }
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kick: how an emitter wakes its collector, without a descriptor.
 *
 * An emitter maps one page more than its lane's file has. That page holds nothing, and nothing is
 * ever written there; but a process that has a file mapped may punch a hole in it through the
 * mapping (madvise(2), MADV_REMOVE). The kernel reports that as a modification to whoever watches
 * the file (inotify(7), see csrc/drain/watch.h), even though nothing has changed.
 *
 * So an emitter needs no descriptor once its lane is mapped: there is none that the service could
 * close, or put another file in the place of, or that a forked child would have to give up. And its
 * kick reaches its own lane's watcher, and nobody else.
 */
#ifndef SHM_KICK_H
#define SHM_KICK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Returns the size of a page. */
static inline uint64_t shm_page_bytes(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Returns where the page of kicks begins, from the beginning of a lane of this size. */
static inline uint64_t shm_kick_offset(uint64_t lane_bytes)
{
    uint64_t page_bytes = shm_page_bytes();
    return (lane_bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/* Returns how much of the address space an emitter's mapping of such a lane takes. */
static inline uint64_t shm_mapping_bytes(uint64_t lane_bytes)
{
    return shm_kick_offset(lane_bytes) + shm_page_bytes();
}

/* The pages of a lane that is no larger are there at once. Those of a larger one would keep an event
 * waiting for milliseconds: what is needed comes in parts of this size, a third of a millisecond
 * each, and the rest when it is touched. */
#define SHM_MOST_BYTES_AT_ONCE (UINT64_C(1) << 20)

/* Maps a lane for its emitter, shm_mapping_bytes() long. Returns MAP_FAILED and errno if that
 * cannot be done. */
static inline void *shm_map_lane(int fd, uint64_t lane_bytes)
{
    int at_once = lane_bytes <= SHM_MOST_BYTES_AT_ONCE ? MAP_POPULATE : 0;
    return mmap(NULL, shm_mapping_bytes(lane_bytes), PROT_READ | PROT_WRITE, MAP_SHARED | at_once,
                fd, 0);
}

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

/* Has the pages of a mapping come that n_bytes from an address are in. Returns false if the kernel
 * cannot do that. */
static inline bool shm_bring_pages(uintptr_t from, uint64_t n_bytes)
{
    uintptr_t first = from / shm_page_bytes() * shm_page_bytes();
    int before = errno; /* the service's */
    bool done = madvise((void *)first, from - first + n_bytes, MADV_POPULATE_WRITE) == 0;
    errno = before;
    return done;
}

/* Wakes the collector. page: where the page of kicks is mapped; NULL: nobody is woken. A kick that
 * fails is a late one: the collector's tick finds the records. */
__attribute__((cold, noinline, unused)) /* not to be put into its callers */
static void shm_kick(void *page)
{
    if (!page)
        return;
    int before = errno; /* the service's */
    uint64_t bytes = shm_page_bytes();
    /* EINVAL: the service has all its memory locked. This page has none. */
    if (madvise(page, bytes, MADV_REMOVE) != 0 && errno == EINVAL && munlock(page, bytes) == 0)
        (void)madvise(page, bytes, MADV_REMOVE);
    errno = before;
}

#endif

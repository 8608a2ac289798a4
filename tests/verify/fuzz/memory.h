/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a lane: a file, mapped between two pages that nobody may touch. */
#ifndef MEMORY_H
#define MEMORY_H

#include "lane/lane.h"
#include "program.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 4096u

struct memory {
    unsigned char *base;
    size_t size_bytes;
    int fd;
    bool is_cut;
};

static inline void memory_make(struct memory *memory, size_t pages)
{
    memory->size_bytes = pages * PAGE_BYTES;
    memory->fd = memfd_create("lane", MFD_CLOEXEC);
    MUST(memory->fd >= 0 && ftruncate(memory->fd, (off_t)memory->size_bytes) == 0, "no file");
    unsigned char *around = mmap(NULL, memory->size_bytes + 2 * PAGE_BYTES, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(around != MAP_FAILED, "no memory");
    memory->base = mmap(around + PAGE_BYTES, memory->size_bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, memory->fd, 0);
    MUST(memory->base != MAP_FAILED, "no mapping");
}

static inline bool memory_has(const struct memory *memory, const unsigned char *at)
{
    return at >= memory->base && at < memory->base + memory->size_bytes;
}

/* A fresh lane, whose dictionary takes what the other parts leave of the memory. */
static inline void memory_format(struct memory *memory, uint64_t lane_id,
                                 struct shm_lane_sizes sizes, struct shm_lane *lane)
{
    if (memory->is_cut) {
        memory->is_cut = false;
        MUST(ftruncate(memory->fd, (off_t)memory->size_bytes) == 0, "no file");
    }
    memset(memory->base, 0, memory->size_bytes);
    sizes.dictionary_bytes = 0;
    sizes.dictionary_bytes = (uint32_t)(memory->size_bytes - shm_lane_bytes(&sizes));
    shm_lane_format(memory->base, lane_id, &sizes);
    MUST(shm_lane_attach(memory->base, memory->size_bytes, lane) == SHM_ATTACH_OK, "no lane");
}

static inline void memory_cut(struct memory *memory, size_t pages)
{
    memory->is_cut = true;
    MUST(ftruncate(memory->fd, (off_t)(pages * PAGE_BYTES)) == 0, "cannot cut");
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exemplars: for each bucket of a series, or for a counter, the newest event that belonged to a
 * trace. The drain puts them here, and the collector shows them.
 *
 * There are never more than were asked for: the one that was kept longest ago makes room. All this
 * is the collector's own memory, and gone with it: exemplars are detail.
 *
 *   heads[hash] -> kept[i] -> kept[j]         found by series and bucket: next
 *   newest -> kept[i] <-> kept[j] <- oldest   in the order of their coming: newer, older
 */
#ifndef SHM_EXEMPLARS_H
#define SHM_EXEMPLARS_H

#include <stdbool.h>
#include <stdint.h>

#include "../lane/exemplar.h"

#define SHM_NO_EXEMPLAR UINT32_MAX

struct shm_exemplar_links {
    uint32_t next; /* with the same hash; or the next free one */
    uint32_t newer;
    uint32_t older;
};

struct shm_exemplars {
    struct shm_exemplar *kept; /* room for as many as there may be */
    struct shm_exemplar_links *links;
    uint32_t *heads; /* a power of two of them */
    uint32_t hashes; /* how many: minus one is a mask */
    uint32_t most;
    uint32_t n;
    uint32_t begun; /* kept[begun] and those behind it were never used */
    uint32_t free;
    uint32_t newest;
    uint32_t oldest;
    uint64_t displaced; /* how many have made room */
};

/* Makes room for up to `most`, at least 1. Returns false if there is no memory. */
bool shm_exemplars_open(struct shm_exemplars *exemplars, uint32_t most);
void shm_exemplars_close(struct shm_exemplars *exemplars);

/* Copies all of them, the newest first; returns how many. */
uint32_t shm_exemplars_copy(const struct shm_exemplars *exemplars, struct shm_exemplar *to);

/* Drops those of a series, which has this many buckets. */
void shm_exemplars_forget(struct shm_exemplars *exemplars, uint64_t series, uint32_t n_buckets);

/* Returns the head of the chain that a bucket's exemplar is in. */
static inline uint32_t *shm_exemplars_chain(const struct shm_exemplars *exemplars, uint64_t series,
                                            uint64_t bucket)
{
    uint64_t hash = (series + bucket) * UINT64_C(0x9e3779b97f4a7c15);
    return &exemplars->heads[(uint32_t)(hash >> 32) & (exemplars->hashes - 1)];
}

/* Returns the link to a bucket's exemplar: in the head of its chain or in the one before it. The
 * link is SHM_NO_EXEMPLAR if there is none. */
static inline uint32_t *shm_exemplars_link(const struct shm_exemplars *exemplars, uint64_t series,
                                           uint64_t bucket)
{
    uint32_t *link = shm_exemplars_chain(exemplars, series, bucket);
    while (*link != SHM_NO_EXEMPLAR && (exemplars->kept[*link].series != series ||
                                        exemplars->kept[*link].bucket != bucket))
        link = &exemplars->links[*link].next;
    return link;
}

/* Takes one out of the order of coming. */
static inline void shm_exemplars_unlist(struct shm_exemplars *exemplars, uint32_t i)
{
    struct shm_exemplar_links *links = exemplars->links;
    uint32_t newer = links[i].newer;
    uint32_t older = links[i].older;
    *(newer == SHM_NO_EXEMPLAR ? &exemplars->newest : &links[newer].older) = older;
    *(older == SHM_NO_EXEMPLAR ? &exemplars->oldest : &links[older].newer) = newer;
}

/* Puts one into the order of coming, as the newest. */
static inline void shm_exemplars_list(struct shm_exemplars *exemplars, uint32_t i)
{
    struct shm_exemplar_links *links = exemplars->links;
    links[i].newer = SHM_NO_EXEMPLAR;
    links[i].older = exemplars->newest;
    *(exemplars->newest == SHM_NO_EXEMPLAR ? &exemplars->oldest
                                           : &links[exemplars->newest].newer) = i;
    exemplars->newest = i;
}

/* Returns a place for another one, if need be the oldest one's. */
static inline uint32_t shm_exemplars_place(struct shm_exemplars *exemplars)
{
    uint32_t i = exemplars->free;
    if (i != SHM_NO_EXEMPLAR) {
        exemplars->free = exemplars->links[i].next;
        exemplars->n++;
    } else if (exemplars->begun < exemplars->most) {
        i = exemplars->begun++;
        exemplars->n++;
    } else {
        i = exemplars->oldest;
        const struct shm_exemplar *gone = &exemplars->kept[i];
        *shm_exemplars_link(exemplars, gone->series, gone->bucket) = exemplars->links[i].next;
        shm_exemplars_unlist(exemplars, i);
        exemplars->displaced++;
    }
    return i;
}

/* Keeps an exemplar in place of an older one of the same bucket. Stamps never go back: Prometheus
 * takes no exemplar that is older than the last. A kept one from the future is replaced all the
 * same: the clock was set back since, and it would stay until the clock is there again. */
static inline void shm_exemplars_put(struct shm_exemplars *exemplars,
                                     const struct shm_exemplar *exemplar, uint64_t now_unix_ns)
{
    uint32_t i = *shm_exemplars_link(exemplars, exemplar->series, exemplar->bucket);
    if (i == SHM_NO_EXEMPLAR) {
        i = shm_exemplars_place(exemplars);
        uint32_t *chain = shm_exemplars_chain(exemplars, exemplar->series, exemplar->bucket);
        exemplars->links[i].next = *chain;
        *chain = i;
    } else if (exemplar->stamp_ns < exemplars->kept[i].stamp_ns &&
               exemplars->kept[i].stamp_ns <= now_unix_ns) {
        return;
    } else {
        shm_exemplars_unlist(exemplars, i);
    }
    exemplars->kept[i] = *exemplar;
    shm_exemplars_list(exemplars, i);
}

#endif

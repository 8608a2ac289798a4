/* SPDX-License-Identifier: Apache-2.0 */
#include "exemplars.h"

#include <stdlib.h>
#include <string.h>

bool shm_exemplars_open(struct shm_exemplars *exemplars, uint32_t most)
{
    uint32_t hashes = 1;
    while (hashes < most && hashes < UINT32_C(1) << 31)
        hashes *= 2;
    *exemplars = (struct shm_exemplars){
        .kept = calloc(most, sizeof *exemplars->kept), /* its pages come as they are used */
        .links = calloc(most, sizeof *exemplars->links),
        .heads = malloc(hashes * sizeof *exemplars->heads),
        .hashes = hashes,
        .most = most,
        .free = SHM_NO_EXEMPLAR,
        .newest = SHM_NO_EXEMPLAR,
        .oldest = SHM_NO_EXEMPLAR,
    };
    if (exemplars->kept && exemplars->links && exemplars->heads) {
        memset(exemplars->heads, 0xff, hashes * sizeof *exemplars->heads);
        return true;
    }
    shm_exemplars_close(exemplars);
    return false;
}

void shm_exemplars_close(struct shm_exemplars *exemplars)
{
    free(exemplars->kept);
    free(exemplars->links);
    free(exemplars->heads);
    *exemplars = (struct shm_exemplars){.kept = NULL};
}

uint32_t shm_exemplars_copy(const struct shm_exemplars *exemplars, struct shm_exemplar *to)
{
    uint32_t n = 0;
    for (uint32_t i = exemplars->newest; i != SHM_NO_EXEMPLAR; i = exemplars->links[i].older)
        to[n++] = exemplars->kept[i];
    return n;
}

void shm_exemplars_forget(struct shm_exemplars *exemplars, uint64_t series, uint32_t n_buckets)
{
    for (uint32_t bucket = 0; bucket < n_buckets; bucket++) {
        uint32_t *link = shm_exemplars_link(exemplars, series, bucket);
        uint32_t i = *link;
        if (i == SHM_NO_EXEMPLAR)
            continue;
        *link = exemplars->links[i].next;
        shm_exemplars_unlist(exemplars, i);
        exemplars->links[i].next = exemplars->free;
        exemplars->free = i;
        exemplars->n--;
    }
}

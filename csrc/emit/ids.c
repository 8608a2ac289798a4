/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "ids.h"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The ids of this process, and whether their random numbers are drawn. */
static struct shm_ids ids;
static bool seeded;

static void forget(void)
{
    seeded = false;
}

/* Draws random numbers. Without them (a machine that has just come up, a filter of system calls)
 * two processes still differ in when they began, or in their pid. */
static void seed(void)
{
    if (getrandom(&ids, sizeof ids, GRND_NONBLOCK) != (ssize_t)sizeof ids) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        uint64_t begun = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
        ids.low = shm_scatter_64(begun ^ (uint64_t)getpid() << 44);
        ids.high = shm_scatter_64(ids.low);
    }
    seeded = true;
}

bool shm_ids_init(void)
{
    return pthread_atfork(NULL, NULL, forget) == 0;
}

void shm_new_id(uint8_t id[SHM_ID_BYTES])
{
    if (!seeded)
        seed();
    shm_id_next(&ids, id);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New ids of spans and traces: UUIDs of version 4, without a system call.
 *
 *   bytes  0        6    8                15
 *         +--------+----+------------------+
 *         | 48+12 bits  | 62 bits          |   the other six say that it is such a UUID
 *         +--------+----+------------------+
 *
 * The low half is a number that counts up from a random one, with its bits scattered in a way that
 * leads no two numbers to one: within a process no short id (OSProfiler's 64 bits) comes twice, and
 * two processes would have to begin within as many ids of each other as they make, of 2^62. The
 * high half is another such number. Ids are no secrets: the next one follows from any of them.
 */
#ifndef SHM_IDS_H
#define SHM_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define SHM_ID_BYTES 16u
#define SHM_ID_TEXT_BYTES 36u

struct shm_ids {
    uint64_t high;
    uint64_t low;
};

/* Maps the numbers below 2^62 to each other, one to one: each step can be undone. */
static inline uint64_t shm_scatter_62(uint64_t number)
{
    const uint64_t mask = (UINT64_C(1) << 62) - 1;
    number &= mask;
    number ^= number >> 31;
    number = number * UINT64_C(0x7fb5d329728ea185) & mask;
    number ^= number >> 29;
    number = number * UINT64_C(0x81dadef4bc2dd44d) & mask;
    return number ^ number >> 31;
}

/* Does the same with all numbers of 64 bits (splitmix64). */
static inline uint64_t shm_scatter_64(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* Writes a number as 8 bytes. */
static inline void shm_id_put(uint8_t *to, uint64_t number)
{
    for (int i = 0; i < 8; i++) /* the most significant byte first */
        to[i] = (uint8_t)(number >> (56 - 8 * i));
}

/* Makes the next id. */
static inline void shm_id_next(struct shm_ids *ids, uint8_t id[SHM_ID_BYTES])
{
    ids->high += UINT64_C(0x9e3779b97f4a7c15); /* odd: all numbers come before one comes again */
    ids->low += 1;
    shm_id_put(id, (shm_scatter_64(ids->high) & ~UINT64_C(0xf000)) | UINT64_C(0x4000));
    shm_id_put(id + 8, shm_scatter_62(ids->low) | UINT64_C(1) << 63);
}

/* Writes an id as a UUID: 8-4-4-4-12 digits. */
static inline void shm_id_text(char text[SHM_ID_TEXT_BYTES], const uint8_t id[SHM_ID_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < SHM_ID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = digits[id[i] >> 4];
        *text++ = digits[id[i] & 15];
    }
}

/* Prepares for forks; called once, before the first id of a process. Returns false if there is no
 * memory for that. */
bool shm_ids_init(void);

/* Makes a new id of this process. A forked child begins anew, from other random numbers. */
void shm_new_id(uint8_t id[SHM_ID_BYTES]);

#endif

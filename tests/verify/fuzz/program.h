/* SPDX-License-Identifier: Apache-2.0 */
/* The input as a program: bytes that are taken one after the other, zeroes behind the last. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
    const uint8_t *at;
    const uint8_t *end;
};

static inline bool program_ended(const struct program *program)
{
    return program->at == program->end;
}

static inline void take_bytes(struct program *program, void *into, size_t n_bytes)
{
    size_t left = (size_t)(program->end - program->at);
    size_t n = n_bytes < left ? n_bytes : left;
    memset(into, 0, n_bytes);
    if (n)
        memcpy(into, program->at, n);
    program->at += n;
}

/* A number below limit. */
static inline uint32_t take_below(struct program *program, uint32_t limit)
{
    uint8_t small = 0;
    uint16_t large = 0;
    if (limit <= 256) {
        take_bytes(program, &small, sizeof small);
        return small % limit;
    }
    take_bytes(program, &large, sizeof large);
    return large % limit;
}

/* What somebody might write over old: a small step away, twice as much, an edge, or anything. */
static inline uint64_t take_value(struct program *program, uint64_t old)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     UINT64_MAX,
                                     UINT64_MAX - 1023u,
                                     UINT64_C(1) << 31,
                                     UINT64_C(1) << 32,
                                     UINT64_C(1) << 63,
                                     UINT64_C(0x7ff0000000000000),  /* infinity */
                                     UINT64_C(0x7ff8000000000001),  /* not a number */
                                     UINT64_C(0xfff0000000000000),
                                     UINT64_C(0x7fefffffffffffff),  /* the largest number */
                                     UINT64_C(0x4000000000000000)}; /* 2.0 */
    uint64_t any;
    uint8_t how = 0;
    take_bytes(program, &how, sizeof how);
    if (how < 128)
        return old + (uint64_t)(how - 64);
    if (how < 136)
        return old << (how - 127);
    if (how < 240)
        return edges[how % (sizeof edges / sizeof edges[0])];
    take_bytes(program, &any, sizeof any);
    return any;
}

/* Something that must hold does not. */
#define MUST(condition, what) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, what); \
            abort(); \
        } \
    } while (0)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The info about a span, as MessagePack: the few forms of it that are needed here. Each function
 * writes one value, or nothing if there is no room for it; a text is cut to the room that there is,
 * between two characters. Readers take any MessagePack.
 */
#ifndef SHM_INFO_H
#define SHM_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct shm_info {
    unsigned char *at;
    const unsigned char *end;
    bool is_cut;
};

/* Tells whether n_bytes fit; notes that the info is cut if they do not. */
static inline bool shm_info_has_room(struct shm_info *info, size_t n_bytes)
{
    bool has_room = (size_t)(info->end - info->at) >= n_bytes;
    info->is_cut = info->is_cut || !has_room;
    return has_room;
}

/* Writes a form, and a number of n_bytes behind it. */
static inline void shm_info_head(struct shm_info *info, unsigned char form, uint64_t number,
                                 unsigned n_bytes)
{
    *info->at++ = form;
    while (n_bytes-- > 0) /* the most significant byte first */
        *info->at++ = (unsigned char)(number >> 8 * n_bytes);
}

static inline bool shm_info_nil(struct shm_info *info)
{
    if (!shm_info_has_room(info, 1))
        return false;
    shm_info_head(info, 0xc0, 0, 0);
    return true;
}

static inline bool shm_info_bool(struct shm_info *info, bool value)
{
    if (!shm_info_has_room(info, 1))
        return false;
    shm_info_head(info, value ? 0xc3 : 0xc2, 0, 0);
    return true;
}

static inline bool shm_info_int(struct shm_info *info, int64_t value)
{
    if (!shm_info_has_room(info, 9))
        return false;
    if (value >= 0 && value < 128)
        shm_info_head(info, (unsigned char)value, 0, 0);
    else
        shm_info_head(info, 0xd3, (uint64_t)value, 8);
    return true;
}

static inline bool shm_info_float(struct shm_info *info, double value)
{
    uint64_t bits;
    if (!shm_info_has_room(info, 9))
        return false;
    memcpy(&bits, &value, sizeof bits);
    shm_info_head(info, 0xcb, bits, 8);
    return true;
}

/* Returns how many bytes of a text of UTF-8 fit into room_bytes without parting a character. */
static inline size_t shm_info_fitting(const char *text, size_t n_bytes, size_t room_bytes)
{
    if (n_bytes <= room_bytes)
        return n_bytes;
    while (room_bytes > 0 && ((unsigned char)text[room_bytes] & 0xc0) == 0x80)
        room_bytes--;
    return room_bytes;
}

static inline bool shm_info_text(struct shm_info *info, const char *text, size_t n_bytes)
{
    if (!shm_info_has_room(info, 3))
        return false;
    size_t fitting = shm_info_fitting(text, n_bytes, (size_t)(info->end - info->at) - 3);
    info->is_cut = info->is_cut || fitting < n_bytes;
    if (fitting < 32)
        shm_info_head(info, (unsigned char)(0xa0 | fitting), 0, 0);
    else
        shm_info_head(info, 0xda, fitting, 2);
    memcpy(info->at, text, fitting);
    info->at += fitting;
    return true;
}

/* Begins a map or a list; its members are written next, and their number by shm_info_close().
 * Returns NULL if there is no room. */
static inline unsigned char *shm_info_open(struct shm_info *info, bool is_map)
{
    if (!shm_info_has_room(info, 3))
        return NULL;
    shm_info_head(info, is_map ? 0xde : 0xdc, 0, 2);
    return info->at - 2;
}

/* Writes the number of members into what shm_info_open() returned. */
static inline void shm_info_close(unsigned char *opened, uint16_t n_members)
{
    opened[0] = (unsigned char)(n_members >> 8);
    opened[1] = (unsigned char)n_members;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over all cgroups below one, as one run of bytes: two walks that found the same are equal.
 *
 * Depth first, a record for each directory: uint64_t inode | uint16_t level | uint16_t n_bytes |
 * name. Level 0 is right below the root, and a name has no NUL at its end. A directory that has none
 * in itself is known by its number of links, and is not opened: the kernel would have to write the
 * names of its forty files.
 *
 * Even to ask for the links is most of the work. So a service or a scope that was a leaf in the walk
 * before, with the same inode, is taken for one again, unless the walk is thorough. Slices and all
 * others, in which units are made, are always asked.
 */
#ifndef SHM_UNITS_WALK_H
#define SHM_UNITS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_UNIT_LEVELS 32u /* most; directories below them are left out */

struct shm_unit_walk {
    char *records;
    size_t size_bytes;  /* the room for records */
    size_t used_bytes;
    bool has_left_out;  /* there was no room, or there were too many levels */
    bool is_thorough;
    const char *before; /* the records of the walk before, or NULL */
    size_t before_bytes;
};

/* Walks from a directory. What is removed meanwhile is left out.
 * Returns 0, or the errno of opening the directory itself; that of another directory if there are no
 * descriptors or is no memory to look into it, so that nothing looks as if it were removed. */
int shm_unit_walk(struct shm_unit_walk *walk, const char *path);

#endif

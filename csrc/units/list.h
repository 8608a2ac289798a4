/* SPDX-License-Identifier: Apache-2.0 */
/* The directories in a directory of cgroups. One that has none in itself is known by its number of
 * links, which is cheaper than to have the kernel write the names of its forty files. */
#ifndef SHM_UNITS_LIST_H
#define SHM_UNITS_LIST_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

struct shm_unit_list {
    DIR *directory;
};

struct shm_unit_listed {
    const char *name; /* until the next one is taken */
    uint64_t inode;
    bool is_leaf; /* it has no directories. Some file systems do not say; then false */
};

/* Opens a directory. Returns 0 or an errno. */
int shm_unit_list_open(struct shm_unit_list *list, const char *path);

/* Takes the next directory in it. Returns false at the end. */
bool shm_unit_list_next(struct shm_unit_list *list, struct shm_unit_listed *listed);

void shm_unit_list_close(struct shm_unit_list *list);

#endif

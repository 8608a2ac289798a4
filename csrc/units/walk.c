/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINKS_OF_A_LEAF = 2, /* of its parent, and of itself; some file systems have 1 for all */
    HEAD_BYTES = 12,
};

static bool put(struct shm_unit_walk *walk, uint64_t inode, uint16_t level, const char *name)
{
    size_t n_bytes = strlen(name);
    if (walk->size_bytes - walk->used_bytes < HEAD_BYTES + n_bytes)
        return false;
    uint16_t n = (uint16_t)n_bytes; /* a name has at most 255 */
    char *to = walk->records + walk->used_bytes;
    memcpy(to, &inode, sizeof inode);
    memcpy(to + 8, &level, sizeof level);
    memcpy(to + 10, &n, sizeof n);
    memcpy(to + HEAD_BYTES, name, n_bytes);
    walk->used_bytes += HEAD_BYTES + n_bytes;
    return true;
}

/* Walks below an open directory, and closes it. Returns 0 or an errno. */
static int below(struct shm_unit_walk *walk, int fd, uint16_t level)
{
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    if (directory == NULL) {
        int error = errno;
        if (fd >= 0)
            close(fd);
        return error;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        struct stat status;
        if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0)
            continue;
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
            continue;
        if (level == SHM_UNIT_LEVELS || !put(walk, status.st_ino, level, name)) {
            walk->has_left_out = true;
            break;
        }
        if (status.st_nlink != LINKS_OF_A_LEAF)
            below(walk, openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                  (uint16_t)(level + 1));
    }
    closedir(directory);
    return 0;
}

int shm_unit_walk(struct shm_unit_walk *walk, const char *path)
{
    walk->used_bytes = 0;
    walk->has_left_out = false;
    return below(walk, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0);
}

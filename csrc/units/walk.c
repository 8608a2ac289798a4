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

static bool ends_with(const char *name, size_t n_bytes, const char *end)
{
    size_t n = strlen(end);
    return n_bytes > n && memcmp(name + n_bytes - n, end, n) == 0;
}

/* Returns whether the record that begins at `at`, and was just put, is one that the walk before had
 * at the same place, of a service or a scope without a directory in it. */
static bool was_leaf(const struct shm_unit_walk *walk, size_t at)
{
    size_t n = walk->used_bytes - at;
    const char *record = walk->records + at, *name = record + HEAD_BYTES;
    uint16_t level, next_level = 0;
    if (walk->is_thorough || walk->before == NULL || walk->before_bytes < walk->used_bytes ||
        memcmp(walk->before + at, record, n) != 0)
        return false;
    memcpy(&level, record + 8, sizeof level);
    if (walk->before_bytes >= walk->used_bytes + HEAD_BYTES)
        memcpy(&next_level, walk->before + walk->used_bytes + 8, sizeof next_level);
    return next_level <= level && (ends_with(name, n - HEAD_BYTES, ".service") ||
                                   ends_with(name, n - HEAD_BYTES, ".scope"));
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static int below(struct shm_unit_walk *walk, int fd, uint16_t level);

/* Walks below an entry of a directory. What has just been removed, or is closed to us, has nothing
 * in it. Returns 0 or the errno of a shortage. */
static int below_entry(struct shm_unit_walk *walk, int fd, const char *name, uint16_t level)
{
    int entry = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int error = entry < 0 ? errno : below(walk, entry, level);
    return is_shortage(error) ? error : 0;
}

/* Walks below an open directory, and closes it. Returns 0 or an errno. */
static int below(struct shm_unit_walk *walk, int fd, uint16_t level)
{
    DIR *directory = fdopendir(fd);
    int error = 0;
    if (directory == NULL) {
        error = errno;
        close(fd);
        return error;
    }
    for (struct dirent *entry; error == 0 && (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        size_t at = walk->used_bytes;
        struct stat status;
        if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) || strcmp(name, ".") == 0 ||
            strcmp(name, "..") == 0)
            continue;
        if (level == SHM_UNIT_LEVELS || !put(walk, entry->d_ino, level, name)) {
            walk->has_left_out = true;
            break;
        }
        if (was_leaf(walk, at))
            continue;
        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
            walk->used_bytes = at; /* it has just been removed, or is a file */
        else if (status.st_nlink != LINKS_OF_A_LEAF)
            error = below_entry(walk, fd, name, (uint16_t)(level + 1));
    }
    closedir(directory);
    return error;
}

int shm_unit_walk(struct shm_unit_walk *walk, const char *path)
{
    walk->used_bytes = 0;
    walk->has_left_out = false;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? errno : below(walk, fd, 0);
}

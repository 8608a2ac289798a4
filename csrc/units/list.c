/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_OF_A_LEAF = 2 }; /* of its parent, and of itself */

int shm_unit_list_open(struct shm_unit_list *list, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    list->directory = fd < 0 ? NULL : fdopendir(fd);
    int error = list->directory == NULL ? errno : 0;
    if (error != 0 && fd >= 0)
        close(fd);
    return error;
}

bool shm_unit_list_next(struct shm_unit_list *list, struct shm_unit_listed *listed)
{
    for (struct dirent *entry; (entry = readdir(list->directory)) != NULL;) {
        struct stat status;
        bool may_be = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
        if (!may_be || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(list->directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISDIR(status.st_mode))
            continue; /* it has just been removed */
        listed->name = entry->d_name;
        listed->inode = status.st_ino;
        listed->is_leaf = status.st_nlink == LINKS_OF_A_LEAF;
        return true;
    }
    return false;
}

void shm_unit_list_close(struct shm_unit_list *list)
{
    closedir(list->directory);
}

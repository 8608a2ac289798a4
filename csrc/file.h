/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a lane's file. Asked for each lane at each tick, so it has to be cheap. */
#ifndef SHM_FILE_H
#define SHM_FILE_H

#include <errno.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>

/* 1 if a process has the lane: the kernel drops the emitter's lock with its mapping. 0 if none has,
 * -1 and errno if that cannot be said. */
static inline int shm_file_is_held(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? 1 : -1;
    return flock(fd, LOCK_UN) == 0 ? 0 : -1;
}

/* 1 if the file is larger than size_bytes, or has more memory than that and slack_bytes (which a
 * file system may use for its own ends); 0 if not, -1 and errno if that cannot be said. */
static inline int shm_file_has_grown(int fd, uint64_t size_bytes, uint64_t slack_bytes)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return -1;
    return (uint64_t)found.st_size > size_bytes ||
           (uint64_t)found.st_blocks * 512u > size_bytes + slack_bytes;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's knowledge of a lane's file. Asked for each lane at each tick, so it has to be
 * cheap. */
#ifndef SHM_FILE_H
#define SHM_FILE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* leases are Linux's */
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/stat.h>

/* Returns 1 if anybody but the caller has the lane's file open, or mapped, or on its way through a
 * socket; 0 if nobody has; -1 and errno if the kernel does not tell.
 *
 * A write lease (fcntl(2), F_SETLEASE) is granted only where nobody has it. That is the kernel's
 * own count, which a process lowers only by closing the file: a lock could be given back by a
 * process that goes on writing. The lease is returned at once. Should somebody open the file in
 * that moment, the kernel tells the holder so by a signal: by SIGURG, which is ignored unless it is
 * asked for. */
static inline int shm_file_is_held(int fd)
{
    if (fcntl(fd, F_SETSIG, SIGURG) != 0)
        return -1;
    if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0)
        return errno == EAGAIN ? 1 : -1;
    return fcntl(fd, F_SETLEASE, F_UNLCK) == 0 ? 0 : -1;
}

/* Returns 1 if the file is larger than size_bytes, or has more memory than that and slack_bytes
 * (which a file system may use for its own ends); 0 if not; -1 and errno if the kernel does not
 * tell. */
static inline int shm_file_has_grown(int fd, uint64_t size_bytes, uint64_t slack_bytes)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return -1;
    return (uint64_t)found.st_size > size_bytes ||
           (uint64_t)found.st_blocks * 512u > size_bytes + slack_bytes;
}

#endif

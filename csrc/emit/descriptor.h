/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of ours in a process that is not ours. Services close what they do not know (when
 * they become daemons, for example), and then their own files and sockets have the same numbers: to
 * write to such a number, or to close it, would harm the service. So no descriptor is kept for
 * longer than it takes to get a lane, and until then its file identifies it: a number is ours only
 * while it has that file.
 *
 * Between the look and the use, only a thread that runs without the GIL could still put another
 * file in its place, and only on purpose: the number is one that the kernel gives to nobody who
 * does not ask for it by name.
 */
#ifndef SHM_DESCRIPTOR_H
#define SHM_DESCRIPTOR_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

/* From here on numbers are free in most processes, and the kernel's table of files is still
 * small. */
#define SHM_DESCRIPTOR_FROM 768

struct shm_descriptor {
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
};

#define SHM_NO_DESCRIPTOR ((struct shm_descriptor){.fd = -1})

/* Remembers which file has the number now. The caller has just got the number from the kernel. */
static inline struct shm_descriptor shm_descriptor_of(int fd)
{
    struct stat file;
    if (fd < 0 || fstat(fd, &file) != 0)
        return SHM_NO_DESCRIPTOR;
    return (struct shm_descriptor){fd, file.st_dev, file.st_ino};
}

/* Tells whether the number still has the file that was remembered. */
static inline bool shm_descriptor_is_ours(const struct shm_descriptor *descriptor)
{
    struct stat file;
    return descriptor->fd >= 0 && fstat(descriptor->fd, &file) == 0 &&
           file.st_dev == descriptor->device && file.st_ino == descriptor->inode;
}

/* Closes it, unless the number is another file's by now. */
static inline void shm_descriptor_close(struct shm_descriptor *descriptor)
{
    if (shm_descriptor_is_ours(descriptor))
        close(descriptor->fd);
    descriptor->fd = -1;
}

/* Gives a descriptor that was just made another number, away from those that the service uses: the
 * lowest may be that of a standard stream that it has closed. */
static inline int shm_descriptor_aside(int fd)
{
    int aside = fcntl(fd, F_DUPFD_CLOEXEC, SHM_DESCRIPTOR_FROM);
    if (aside < 0)
        return fd; /* fewer files than that are allowed */
    close(fd);
    return aside;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Watching lanes for kicks: the collector's end of csrc/emit/kick.h, by inotify(7). */
#ifndef SHM_WATCH_H
#define SHM_WATCH_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define SHM_WATCH_MOST 1024 /* events read at once */
#define SHM_WATCH_OVERFLOW (-1) /* in place of a watch: some events are lost */

/* Returns a descriptor that can be read once a watched file was modified; -1 and errno. */
static inline int shm_watch_open(void)
{
    return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

/* Returns the number of the watch of that file, which no other watch has or gets; -1 and errno. */
static inline int shm_watch_add(int fd, const char *path)
{
    return inotify_add_watch(fd, path, IN_MODIFY);
}

/* Ends a watch; -1 and errno. */
static inline int shm_watch_remove(int fd, int watch)
{
    return inotify_rm_watch(fd, watch);
}

/* Puts the watches of up to SHM_WATCH_MOST events into watches[]. Returns how many: 0 if nothing
 * was modified since, -1 and errno. */
static inline int shm_watch_read(int fd, int32_t watches[SHM_WATCH_MOST])
{
    /* Events of a file have no names, unlike those of a directory: all are of one size. */
    unsigned char events[SHM_WATCH_MOST * sizeof(struct inotify_event)];
    ssize_t n_bytes = read(fd, events, sizeof events);
    if (n_bytes < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    int n = 0;
    for (size_t at = 0; at < (size_t)n_bytes; at += sizeof(struct inotify_event)) {
        struct inotify_event event;
        memcpy(&event, events + at, sizeof event);
        if (event.mask & IN_Q_OVERFLOW)
            watches[n++] = SHM_WATCH_OVERFLOW;
        else if (event.mask & IN_MODIFY)
            watches[n++] = event.wd;
    }
    return n;
}

#endif

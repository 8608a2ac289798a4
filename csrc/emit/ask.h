/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a collector for a lane: one message there, one back, over a unix socket. The caller writes
 * and reads the messages. Nothing here waits, and no signal is raised if the collector is gone.
 *
 * In C, and not with Python's sockets: those close the number that they were given, whatever file
 * has it by then, and release the GIL at every call.
 */
#ifndef SHM_ASK_H
#define SHM_ASK_H

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "descriptor.h"

/* Connects to the collector that listens at path, and sends it n_bytes of hello. Returns 0, or the
 * errno of what failed; then there is no connection. */
static inline int shm_ask(struct shm_descriptor *connection, const char *path, const void *hello,
                          size_t n_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *connection = SHM_NO_DESCRIPTOR;
    if (strlen(path) >= sizeof address.sun_path)
        return ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    fd = shm_descriptor_aside(fd);
    *connection = shm_descriptor_of(fd);
    /* Turned away already (EPIPE): the answer says why. */
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
        (send(fd, hello, n_bytes, MSG_NOSIGNAL) >= 0 || errno == EPIPE))
        return 0;
    int failed = errno;
    close(fd);
    *connection = SHM_NO_DESCRIPTOR;
    return failed;
}

/* Takes the one descriptor of the message; of several it takes none, and closes all. */
static inline void shm_take_descriptor(struct msghdr *message, struct shm_descriptor *lane)
{
    int n_taken = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (n_taken++ == 0) {
                *lane = shm_descriptor_of(fd);
            } else {
                close(fd);
                shm_descriptor_close(lane);
            }
        }
    }
}

/* Receives the answer, and the descriptor of the lane that is granted with it, if any. Returns its
 * size, 0 if the collector has closed the connection, or -1 and errno: EBADF if the connection is
 * not ours any more. */
static inline ssize_t shm_ask_answer(const struct shm_descriptor *connection, void *answer,
                                     size_t n_bytes, struct shm_descriptor *lane)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {answer, n_bytes};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    *lane = SHM_NO_DESCRIPTOR;
    if (!shm_descriptor_is_ours(connection)) {
        errno = EBADF;
        return -1;
    }
    ssize_t size = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && errno == ECONNRESET) /* closed before it read all; its answer comes next */
        size = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size >= 0)
        shm_take_descriptor(&message, lane);
    return size;
}

#endif

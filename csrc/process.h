/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's own producer: one per process, forgotten by a forked child.
 *
 *   none --first event--> private --shm_process_attach--> registered
 *     ^                      |                                |
 *     +------- fork (child) -+--------------------------------+
 *
 * private: anonymous memory with a lane's layout and no ring; every event goes to its cells, and
 * at registration they are copied into the lane before anything else is published there.
 */
#ifndef SHM_PROCESS_H
#define SHM_PROCESS_H

#include "producer.h"

/* Sizes of a lane when nobody says otherwise; also those of the private one. */
#define SHM_DEFAULT_RECORDS 4096u
#define SHM_DEFAULT_DICTIONARY_BYTES 98304u
#define SHM_DEFAULT_CELLS 8192u
#define SHM_DEFAULT_CALLS 1024u

enum shm_process_state {
    SHM_PROCESS_NONE = 0,
    SHM_PROCESS_PRIVATE = 1,
    SHM_PROCESS_REGISTERED = 2,
};

struct shm_process {
    struct shm_producer producer;
    enum shm_process_state state;
    void *base; /* of the current lane's mapping */
    uint64_t size_bytes;
    int connection_fd; /* stays open: its end tells the collector of a death at once */
    uint32_t last_generation;
};

extern struct shm_process shm_process;

/* Has to be called once, before the first event. */
void shm_process_init(bool disabled);

/* Maps a granted lane and goes on in it, taking what is in the private one along. The descriptors
 * are taken over: lane_fd is closed once mapped, the others when the lane ends or the process
 * forks. Returns SHM_ATTACH_OK; on anything else nothing changed and no descriptor was taken. */
enum shm_attach shm_process_attach(int lane_fd, int kick_fd, int connection_fd);

/* Leaves a lane that the collector has closed. The next event starts a private one. */
void shm_process_detach(void);

#endif

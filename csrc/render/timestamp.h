/* SPDX-License-Identifier: Apache-2.0 */
/* google.protobuf.Timestamp: a moment of Unix time. */
#ifndef SHM_TIMESTAMP_H
#define SHM_TIMESTAMP_H

#include "wire.h"

struct shm_timestamp {
    uint64_t seconds;
    uint64_t nanos;
};

enum { SHM_TIMESTAMP_SECONDS = 1, SHM_TIMESTAMP_NANOS = 2 };

/* Returns the size of the message. */
static inline size_t shm_timestamp_bytes(struct shm_timestamp time)
{
    return shm_wire_varint_bytes(time.seconds) + shm_wire_varint_bytes(time.nanos);
}

/* Writes a timestamp as a field. */
static inline char *shm_put_timestamp(char *out, unsigned field, struct shm_timestamp time)
{
    out = shm_wire_opening(out, field, shm_timestamp_bytes(time));
    out = shm_wire_varint(out, SHM_TIMESTAMP_SECONDS, time.seconds);
    return shm_wire_varint(out, SHM_TIMESTAMP_NANOS, time.nanos);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format of protocol buffers, as far as writing messages needs it: how many bytes a field
 * takes, and the field. See protobuf.dev, "Encoding".
 *
 * Sizes are those of fields with a number of up to 15, whose tag is one byte.
 */
#ifndef SHM_WIRE_H
#define SHM_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "doubles are written as they are in memory"
#endif

enum { SHM_WIRE_VARINT = 0, SHM_WIRE_FIXED64 = 1, SHM_WIRE_BYTES = 2 };

/* A field with its tag: of type double; as a varint, at its longest. */
enum { SHM_WIRE_DOUBLE_BYTES = 9, SHM_WIRE_VARINT_BYTES = 11 };

/* Returns how many bytes a varint takes: one for 7 bits. */
static inline size_t shm_varint_bytes(uint64_t value)
{
    unsigned bits = 64U - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

/* Writes a varint. */
static inline char *shm_put_varint(char *out, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        *out++ = (char)(value | 128);
    *out++ = (char)value;
    return out;
}

/* Turns a signed number into one whose varint is short if it is near zero. */
static inline uint64_t shm_zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

/* Returns the size of a field with a varint. */
static inline size_t shm_wire_varint_bytes(uint64_t value)
{
    return 1 + shm_varint_bytes(value);
}

/* Writes a field with a varint. */
static inline char *shm_wire_varint(char *out, unsigned field, uint64_t value)
{
    *out++ = (char)(field << 3 | SHM_WIRE_VARINT);
    return shm_put_varint(out, value);
}

/* Writes a field with a double. */
static inline char *shm_wire_double(char *out, unsigned field, double value)
{
    *out++ = (char)(field << 3 | SHM_WIRE_FIXED64);
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

/* Writes a field of type fixed64. */
static inline char *shm_wire_fixed64(char *out, unsigned field, uint64_t value)
{
    *out++ = (char)(field << 3 | SHM_WIRE_FIXED64);
    memcpy(out, &value, sizeof value);
    return out + sizeof value;
}

/* Returns the size of a field that holds n_bytes: a message, a string, packed numbers. */
static inline size_t shm_wire_bytes(size_t n_bytes)
{
    return 1 + shm_varint_bytes(n_bytes) + n_bytes;
}

/* Returns the size of a field's tag. */
static inline size_t shm_wire_tag_bytes(unsigned field)
{
    return shm_varint_bytes(field << 3);
}

/* Writes the tag and the length before the n_bytes of a field, whose number may be any. */
static inline char *shm_wire_opening(char *out, unsigned field, size_t n_bytes)
{
    out = shm_put_varint(out, field << 3 | SHM_WIRE_BYTES);
    return shm_put_varint(out, n_bytes);
}

/* Returns where the content of a field begins whose length is not known yet; see
 * shm_wire_closed(). */
static inline char *shm_wire_opened(char *out, unsigned field)
{
    return shm_put_varint(out, field << 3 | SHM_WIRE_BYTES) + 1;
}

/* Writes the length of a field before its content, for which shm_wire_opened() has left one byte;
 * content that is longer than this byte can say is moved. Needs SHM_WIRE_VARINT_BYTES of room
 * behind it. Returns its end. */
static inline char *shm_wire_closed(char *content, char *end)
{
    size_t n_bytes = (size_t)(end - content);
    size_t more = shm_varint_bytes(n_bytes) - 1;
    if (more > 0)
        memmove(content + more, content, n_bytes);
    shm_put_varint(content - 1, n_bytes);
    return end + more;
}

#endif

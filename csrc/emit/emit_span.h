/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording spans. A span is no total: one for which the ring has no room is counted as dropped.
 * Where there is room for the span alone, its info is dropped first.
 */
#ifndef SHM_EMIT_SPAN_H
#define SHM_EMIT_SPAN_H

#include "emit.h"

#define SHM_SPAN_INFO_MAX_BYTES (SHM_SPAN_INFO_SLOTS * SHM_SPAN_INFO_BYTES)

/* Returns how many slots the info takes. */
static inline uint32_t shm_info_slots(uint32_t info_bytes)
{
    return (info_bytes + SHM_SPAN_INFO_BYTES - 1) / SHM_SPAN_INFO_BYTES;
}

/* Fills the slots behind a span's record. */
static inline void shm_fill_info(struct shm_producer *p, const unsigned char *info,
                                 uint32_t info_bytes)
{
    for (uint32_t i = 0; info_bytes > 0; i++) {
        struct shm_span_info *slot =
            (struct shm_span_info *)(void *)shm_ring_reserved(&p->ring, 1 + i);
        uint32_t n = info_bytes < SHM_SPAN_INFO_BYTES ? info_bytes : SHM_SPAN_INFO_BYTES;
        slot->kind = SHM_KIND_SPAN_INFO;
        slot->size_bytes = (uint16_t)n;
        memcpy(slot->bytes, info, n);
        info += n;
        info_bytes -= n;
    }
}

/* Records the start or the stop of a span.
 *
 * span: kind, ids, flags and stamp; its series and n_info are filled in here. info: at most
 * SHM_SPAN_INFO_MAX_BYTES of MessagePack.
 *
 * Returns SHM_ATTENTION if the span is neither recorded nor counted: the caller looks after the
 * registration and tries again. It may be the first event of a process, which has no ring before it
 * has registered. Returns SHM_SPAN_ATTENTION if the span is recorded, and the caller only has to look
 * after the registration. */
static inline enum shm_emit shm_emit_span(struct shm_producer *p, struct shm_series *s,
                                          const struct shm_span *span, const unsigned char *info,
                                          uint32_t info_bytes)
{
    if (s->generation != p->generation && !(s = shm_place_of(p, s).series))
        return SHM_EMITTED;
    uint32_t n_info = shm_info_slots(info_bytes);
    bool is_cut = false;
    if (!shm_slots(p, 1 + n_info)) {
        if (n_info == 0 || !shm_slots(p, 1)) {
            enum shm_emit found = shm_attend(p);
            if (found == SHM_EMITTED)
                shm_count_drop(p, SHM_DROP_SPAN, 1);
            return found;
        }
        n_info = 0;
        is_cut = true;
    }
    struct shm_span *slot = (struct shm_span *)(void *)shm_ring_reserved(&p->ring, 0);
    *slot = *span;
    slot->series = s->id;
    slot->n_info = (uint16_t)n_info;
    if (is_cut)
        slot->flags |= SHM_FLAG_CUT;
    else
        shm_fill_info(p, info, info_bytes);
    shm_ring_publish_run(&p->ring, 1 + n_info);
    return shm_attend_slow(p, SHM_EMITTED) == SHM_EMITTED ? SHM_EMITTED : SHM_SPAN_ATTENTION;
}

#endif

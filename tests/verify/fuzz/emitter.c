/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled with tracing, so that it can be killed between any two stores. */
#include <stdint.h>
#include <time.h>

static int emitter_clock(clockid_t clock, struct timespec *now);
#define clock_gettime emitter_clock

#include "emitter.h"

uint64_t emitter_now_ns;
const double emitter_bounds[EMITTER_BOUNDS] = {0.5, 2.0};

static const uint16_t types[TYPES] = {SHM_TYPE_COUNTER, SHM_TYPE_GAUGE, SHM_TYPE_HISTOGRAM,
                                      SHM_TYPE_CALLS, SHM_TYPE_EXCEPTION};
static const double values[4] = {0.0, 0.5, 1.0, 4.0};
static const double huge = 1.7e308; /* twice as much is no number of its own */

/* Payloads of entries: strings, all of them empty. A family's has its bounds before them. */
static const struct {
    double bounds[EMITTER_BOUNDS];
    uint32_t n_strings;
    uint32_t lengths[SHM_FAMILY_STRINGS + 1];
} family_text = {{0.5, 2.0}, SHM_FAMILY_STRINGS + 1, {0}};
static const uint32_t series_text[2] = {1, 0};

static int emitter_clock(clockid_t clock, struct timespec *now)
{
    (void)clock;
    now->tv_sec = (time_t)(emitter_now_ns / 1000000000u);
    now->tv_nsec = (long)(emitter_now_ns % 1000000000u);
    return 0;
}

static uint32_t bounds_of(int type)
{
    return type == HISTOGRAM || type == CALLS ? EMITTER_BOUNDS : 0;
}

void emitter_begin(struct emitter *emitter, const struct shm_lane *lane)
{
    struct shm_producer *producer = &emitter->producer;
    emitter_now_ns = UINT64_C(1000000000);
    producer->homeless = 0;
    memset(emitter->calls, 0, sizeof emitter->calls);
    memset(emitter->totals, 0, sizeof emitter->totals);
    emitter->adds = 0;
    emitter->spans = 0;
    emitter->span_family = (struct shm_family){
        .type = SHM_TYPE_SPANS,
        .text = (const unsigned char *)&family_text + sizeof family_text.bounds,
        .text_bytes = (uint32_t)(sizeof family_text - 4 - sizeof family_text.bounds)};
    emitter->span_series = (struct shm_series){.type = SHM_TYPE_SPANS,
                                               .family = &emitter->span_family,
                                               .text = (const unsigned char *)series_text,
                                               .text_bytes = sizeof series_text};
    for (int type = 0; type < TYPES; type++) {
        uint32_t n_bounds = bounds_of(type);
        const unsigned char *text = (const unsigned char *)&family_text;
        uint32_t skipped = n_bounds ? 0 : sizeof family_text.bounds;
        if (type != THROWN)
            emitter->families[type] =
                (struct shm_family){.type = types[type],
                                    .n_bounds = n_bounds,
                                    .bounds = emitter_bounds,
                                    .text = text + skipped,
                                    .text_bytes = (uint32_t)sizeof family_text - 4 - skipped};
        for (int i = 0; i < 2; i++)
            emitter->series[type][i] =
                (struct shm_series){.type = types[type],
                                    .n_bounds = n_bounds,
                                    .bounds = emitter_bounds,
                                    .family = type == THROWN ? NULL : &emitter->families[type],
                                    .parent = type == THROWN ? &emitter->series[CALLS][i] : NULL,
                                    .text = (const unsigned char *)series_text,
                                    .text_bytes = sizeof series_text};
    }
    shm_producer_begin(producer, lane, 1);
}

static double value_of(const struct event *event)
{
    if (!event->is_huge || event->type == GAUGE)
        return values[event->value];
    return event->type == HISTOGRAM && event->throws ? -huge : huge;
}

void emitter_emit(struct emitter *emitter, const struct event *event)
{
    struct shm_producer *producer = &emitter->producer;
    struct shm_series *series = &emitter->series[event->type][event->series];
    struct shm_call *call = &emitter->calls[event->series][event->value];
    switch (event->type) {
    case COUNTER:
        if (event->throws)
            shm_emit_add(producer, series, value_of(event));
        else
            shm_emit_add_traced(producer, series, value_of(event), NULL);
        break;
    case GAUGE:
        shm_emit_gauge(producer, series, value_of(event), event->throws, true);
        break;
    case HISTOGRAM:
        shm_emit_observe(producer, series, value_of(event));
        break;
    default:
        if (!call->open)
            shm_emit_call_start(producer, series, call);
        else
            shm_emit_call_end(producer, series, call,
                              event->throws ? &emitter->series[THROWN][event->series] : NULL);
    }
}

void emitter_expect(struct emitter *emitter, const struct event *event)
{
    const struct shm_call *call = &emitter->calls[event->series][event->value];
    struct totals *totals = &emitter->totals[event->type][event->series];
    double value = value_of(event);
    totals->is_huge |= event->is_huge;
    switch (event->type) {
    case COUNTER:
        totals->value += value;
        emitter->adds++;
        break;
    case GAUGE:
        totals->value = event->throws ? totals->value + value : value;
        break;
    case HISTOGRAM:
        totals->value += value;
        totals->cells[SHM_HISTOGRAM_BUCKETS + (value > 0.5) + (value > 2.0)]++;
        break;
    default:
        if (!call->open) {
            totals->cells[SHM_CELL_STARTS]++;
            break;
        }
        value = (double)(emitter_now_ns - call->start_ns) / 1e9;
        totals->cells[SHM_CELL_ENDS]++;
        totals->cells[SHM_CELL_DURATION] += emitter_now_ns - call->start_ns;
        totals->cells[SHM_CALLS_BUCKETS + (value > 0.5) + (value > 2.0)]++;
        if (event->throws)
            emitter->totals[THROWN][event->series].value += 1.0;
    }
}

void emitter_make_span(uint32_t number, struct shm_span *span, unsigned char *info,
                       uint32_t *info_bytes)
{
    *span = (struct shm_span){.kind = number % 2 ? SHM_KIND_SPAN_START : SHM_KIND_SPAN_STOP};
    memset(span->id, (int)(number & 0xff), sizeof span->id);
    memcpy(span->trace, &number, sizeof number);
    *info_bytes = number * 41 % (EMITTER_INFO_SLOTS * SHM_SPAN_INFO_BYTES + 1);
    for (uint32_t i = 0; i < *info_bytes; i++)
        info[i] = (unsigned char)(number + i);
}

void emitter_span(struct emitter *emitter)
{
    unsigned char info[EMITTER_INFO_SLOTS * SHM_SPAN_INFO_BYTES];
    struct shm_span span;
    uint32_t info_bytes;
    emitter_make_span(++emitter->spans, &span, info, &info_bytes);
    span.stamp_ns = shm_clock_ns();
    shm_emit_span(&emitter->producer, &emitter->span_series, &span, info, info_bytes);
}

void emitter_record(struct emitter *emitter, const struct shm_record *record)
{
    if (shm_has_slot(&emitter->producer)) {
        *shm_ring_next(&emitter->producer.ring) = *record;
        shm_ring_publish(&emitter->producer.ring);
    }
}

void emitter_entry(struct emitter *emitter, const struct shm_entry *entry,
                   const unsigned char *text, uint32_t text_bytes)
{
    struct shm_producer *producer = &emitter->producer;
    unsigned char *at = producer->lane.dictionary + producer->dictionary_end;
    if (!shm_has_room(producer, (struct shm_room){shm_entry_bytes(text_bytes), 0}))
        return;
    shm_append_entry(producer, *entry, text, text_bytes, 0);
    if (entry->size_bytes)
        memcpy(at, &entry->size_bytes, sizeof entry->size_bytes);
    if (entry->kind == SHM_ENTRY_FAMILY)
        producer->families++;
    else if (entry->kind != SHM_ENTRY_CELLS && entry->kind != SHM_ENTRY_REMOVED)
        producer->series++;
}

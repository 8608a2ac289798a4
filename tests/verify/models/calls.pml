/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open calls, and the two ends of a lane, for spin: a process that has begun calls on its own moves into
 * its lane, begins and ends more of them, through the ring or as spilled events, and is killed
 * between any two stores; a collector retires its lane, and is killed as well, again and again.
 *
 * How a total goes from the lane into the store is the matter of lane.pml, and one step here. Inlines and
 * quotes ("C:") are as there.
 *
 * Shown for every execution:
 *   - starts and ends are counted once each, and what the private lane held comes wholly or not at all;
 *   - a call whose start is counted, and whose end is not, is counted as abandoned, once;
 *   - no other call is.
 */
#ifndef CALLS
#define CALLS 3
#endif
#define SLOTS 2
#define NEVER 255
#define BIT(call) (1 << (call))

mtype = { NONE, START, END, CALL };

typedef Open { byte start; bit series }; /* start: which call it is */

/* The lane. ring_: what the published records say, the latest apart. */
byte head, spilled, calls_high;
bit dictionary_end;
Open calls[SLOTS];
byte ring_starts, ring_ends, cell_starts, cell_ends;
mtype last_kind = NONE;
byte last_start;
byte intent_spilled, intent_head = NEVER, intent_start, intent_n;
mtype intent_kind = NONE;
byte intent_starts, intent_ends;

/* The store. */
byte starts, ends, abandoned;
mtype undo_kind = NONE;
byte undo_index, undo_old;
bit undo_seen;

/* The world, and what there has to be: calls as bits. */
bool dead, retired, kill_emitter, kill_collector;
byte begun, ended, given_up;

/* ---- the emitter ------------------------------------------------------------------------ */

inline commit(kind, call) {
    if
    :: kind == START -> begun = begun | BIT(call)
    :: else -> ended = ended | BIT(call)
    fi
}

inline record(kind, call) {
    /* The slot is not the latest record until it is published: one step. */
    d_step {
        head++;
        last_kind = kind;
        last_start = call;
        if
        :: kind == START -> ring_starts++
        :: else -> ring_ends++
        fi;
        commit(kind, call)
    }
}

inline shm_spill_begin() {
    /* C: atomic_store_explicit(&spill.intent->spilled, SHM_INTENT_NONE, memory_order_relaxed)
     * C: atomic_signal_fence(memory_order_seq_cst) */
    intent_spilled = NEVER;
    /* C: spill.intent->head = atomic_load_explicit(&header->producer.head, memory_order_relaxed)
     * C: spill.intent->kind = 0 */
    intent_head = head;
    intent_kind = NONE;
}

inline shm_spill_call(kind, call) {
    /* C: spill->intent->kind = kind
     * C: spill->intent->series = series
     * C: spill->intent->start_ns = start_ns */
    intent_kind = kind;
    intent_start = call;
}

inline spill(kind, call) {
    shm_spill_begin();
    d_step {
        intent_starts = cell_starts;
        intent_ends = cell_ends;
        if
        :: kind == START -> intent_starts++
        :: else -> intent_ends++
        fi
    };
    shm_spill_call(kind, call);
    /* shm_spill_commit */
    intent_n = 1;
    d_step { intent_spilled = spilled; commit(kind, call) };
    cell_starts = intent_starts;
    cell_ends = intent_ends;
    spilled++
}

inline count(kind, call) {
    if
    :: record(kind, call)
    :: spill(kind, call)
    fi
}

inline shm_fill_slot(call) {
    /* C: atomic_store_explicit(&open->start_ns, start_ns, memory_order_release)
     * C: atomic_store_explicit(&open->series, series, memory_order_release) */
    calls[slot].start = call;
    calls[slot].series = 1;
    /* C: atomic_store_explicit(&p->lane.header->producer.calls_high, p->calls_high,
     *        memory_order_relaxed) */
    if
    :: slot >= calls_high -> calls_high = slot + 1
    :: else
    fi
}

inline shm_list_call(call) {
    if /* whichever slot is free */
    :: !calls[0].series -> slot = 0
    :: !calls[1].series -> slot = 1
    fi;
    shm_fill_slot(call)
}

inline shm_put_call_start(call) {
#ifdef LIST_FIRST
    shm_list_call(call);
    count(START, call);
#else
    count(START, call);
    shm_list_call(call);
#endif
    open = open | BIT(call)
}

inline shm_unlist_call() {
    /* C: atomic_store_explicit(&p->lane.calls[slot].series, 0, memory_order_release) */
    calls[slot].series = 0
}

inline shm_put_call_end(call) {
    d_step {
        if
        :: calls[0].series && calls[0].start == call -> slot = 0
        :: else -> slot = 1
        fi
    };
#ifdef FREE_FIRST
    shm_unlist_call();
#endif
    count(END, call);
    /* C: shm_unlist_call(p, where, s, call->slot) */
    shm_unlist_call();
    open = open & ~BIT(call)
}

/* One call has begun and is open, one has begun and ended; call 0 is the open one. */
inline shm_producer_move() {
#ifdef SPILLED_EARLY
    d_step { spilled = 3; begun = 3; ended = 2 };
#endif
    /* C: atomic_store_explicit(&to->cells[i], atomic_load_explicit(&from->cells[i],
     *        memory_order_relaxed), memory_order_relaxed) */
    cell_starts = 2;
    cell_ends = 1;
    /* C: atomic_store_explicit(&to->calls[i].start_ns, start_ns, memory_order_relaxed)
     * C: atomic_store_explicit(&to->calls[i].series, series, memory_order_relaxed) */
    calls[0].start = 0;
    calls[0].series = 1;
    /* C: atomic_store_explicit(&new_line->gauge_writes, atomic_load_explicit(
     *        &old_line->gauge_writes, memory_order_relaxed), memory_order_relaxed)
     * C: atomic_store_explicit(&new_line->dictionary_end, p->dictionary_end, memory_order_release) */
    dictionary_end = 1;
#ifndef SPILLED_EARLY
    d_step {
        /* C: atomic_store_explicit(&new_line->spilled, atomic_load_explicit(&old_line->spilled,
         *        memory_order_relaxed), memory_order_release) */
        spilled = 3;
        begun = BIT(0) | BIT(1);
        ended = BIT(1)
    };
#endif
    /* C: atomic_store_explicit(&new_line->added, atomic_load_explicit(&old_line->added,
     *        memory_order_relaxed), memory_order_release)
     * C: atomic_store_explicit(&new_line->calls_high, p->calls_high, memory_order_release) */
    calls_high = 1
}

proctype emitter() {
    byte slot, next = 2, open = BIT(0);
    {
        shm_producer_move();
        do
        :: next < CALLS && !(calls[0].series && calls[1].series) ->
            shm_put_call_start(next);
            next++
        :: open & BIT(0) -> shm_put_call_end(0)
        :: open & BIT(2) -> shm_put_call_end(2)
        :: open & BIT(3) -> shm_put_call_end(3)
        :: break
        od
    } unless {
        kill_emitter
    };
    atomic { slot = 0; next = 0; open = 0; dead = true }
}

/* ---- the collector ---------------------------------------------------------------------- */

inline shm_drain_pass() {
    d_step {
        if
        :: dictionary_end ->
            starts = ring_starts;
            ends = ring_ends;
            if
            :: spilled -> starts = starts + cell_starts; ends = ends + cell_ends
            :: else
            fi
        :: else
        fi
    }
}

inline shm_recover() {
    /* Of a call: lane.pml has the others. */
    if
    :: undo_kind == CALL && undo_seen == calls[undo_index].series -> abandoned = undo_old
    :: else
    fi;
    undo_kind = NONE
}

inline finish_spill() {
    d_step { /* lane.pml takes it apart */
        if
        :: intent_spilled == spilled && intent_n > 0 ->
            cell_starts = intent_starts;
            cell_ends = intent_ends;
            spilled++;
            spilling = true
        :: intent_spilled == spilled && intent_n == 0 -> spilling = false
        :: else -> spilling = (intent_spilled + 1 == spilled)
        fi
    }
}

inline relist_call(kind, call) {
    d_step {
        if
        :: calls[0].series && calls[0].start == call -> slot = 0
        :: calls[1].series && calls[1].start == call -> slot = 1
        :: else -> slot = NEVER
        fi
    };
    if
    /* C: atomic_store_explicit(&open->series, 0, memory_order_relaxed) */
    :: kind == END && slot != NEVER -> calls[slot].series = 0
    :: kind == START && slot == NEVER ->
        slot = (calls[0].series -> 1 : 0);
        assert(!calls[slot].series);
        /* C: atomic_store_explicit(&open->start_ns, start_ns, memory_order_relaxed)
         * C: atomic_store_explicit(&open->series, series, memory_order_relaxed) */
        calls[slot].start = call;
        calls[slot].series = 1
    :: else
    fi;
    slot = 0
}

inline finish_list() {
#ifndef WITHOUT_RELIST
    if
    :: intent_head == head && spilling -> relist_call(intent_kind, intent_start)
    :: intent_head != head && head > 0 -> relist_call(last_kind, last_start)
    :: else
    fi;
#endif
    /* C: atomic_store_explicit(&header->producer.calls_high, drain->lane.n_calls,
     *        memory_order_relaxed) */
    if
#ifndef HIGH_AS_FOUND
#ifdef HIGH_ALWAYS
    :: calls_high = SLOTS
#else
    :: (head > 0 || spilled > 0) -> calls_high = SLOTS
#endif
#endif
    :: else
    fi;
#ifndef LIST_AGAIN
    /* C: atomic_store_explicit(&header->intent.spilled, SHM_INTENT_NONE, memory_order_relaxed)
     * C: shm_fence() */
    intent_spilled = NEVER;
    /* C: header->intent.head = head */
    intent_head = head
#endif
}

inline shm_drain_abandon() {
    /* C: shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_CALL, drain->lane.lane_id, slot,
     *        series) */
#ifndef WITHOUT_UNDO
    undo_kind = NONE;
    undo_old = abandoned;
    undo_index = slot;
    undo_seen = calls[slot].series;
    undo_kind = CALL;
#endif
    abandoned++;
    d_step {
        assert(!(given_up & BIT(calls[slot].start)));
        /* C: atomic_store_explicit(open, 0, memory_order_relaxed) */
        calls[slot].series = 0;
        given_up = given_up | BIT(calls[slot].start)
    };
    /* C: shm_undo_done(drain->undo) */
    undo_kind = NONE
}

inline retire() {
    finish_spill();
    finish_list();
    shm_drain_pass();
    slot = 0;
    do
    :: dictionary_end && slot < calls_high ->
        if
        :: calls[slot].series -> shm_drain_abandon()
        :: else
        fi;
        slot++
    :: else -> break
    od;
    retired = true
}

proctype collector() {
    byte slot;
    bool spilling;
start:
    {
        shm_recover();
        shm_drain_pass();
        dead; /* until its lock is gone */
        retire()
    } unless {
        kill_collector
    };
    atomic { slot = 0; spilling = false };
    if
    :: retired
    :: !retired -> kill_collector = false; goto start
    fi;
    assert(starts == (begun & 1) + (begun >> 1 & 1) + (begun >> 2 & 1) + (begun >> 3 & 1));
    assert(ends == (ended & 1) + (ended >> 1 & 1) + (ended >> 2 & 1) + (ended >> 3 & 1));
    assert(given_up == (begun & ~ended));
    assert(abandoned == starts - ends)
}

active proctype killer() {
end:
    do
    :: !kill_collector -> kill_collector = true
    :: !kill_emitter -> kill_emitter = true
    od
}

init {
    atomic {
        run emitter();
        run collector()
    }
}

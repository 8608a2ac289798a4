/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane protocol, for spin: events into a ring or, when it is full, into cells; a collector that
 * moves them into its store; and either side killed between any two stores, again and again.
 *
 * Every inline here that has the name of a function in csrc/ does what that does, store by store.
 * "C:" quotes the store that a step stands for, and the fences around it; test_protocol.py sees to it
 * that all are quoted, in their order. Order is all there is here: what a processor may make of it is
 * looked at in relacy/.
 *
 * An event changes two cells of the store: one counts events, the other adds up 2^event, so that a
 * total tells which events it is made of. Or it is an add, and changes a third cell by as much, straight
 * in the lane. All lanes change the same cells, and share the store's one undo entry.
 *
 * Shown for every execution:
 *   - in the end the store holds exactly what was committed: each event once, none in part; only an
 *     add whose emitter was killed before it was published may be in it or not;
 *   - a pass takes everything published before it began, and nothing that was not committed;
 *   - no total that was shown ever goes back, over any number of kills;
 *   - a record is whole when it is copied; head is never more than the ring's capacity ahead;
 *   - the emitter never waits: it comes to its end with the collector gone at any point;
 *   - a ring is never full of records of which the collector was not told by a kick.
 */
#ifndef LANES
#define LANES 1
#endif
#ifndef EVENTS
#define EVENTS 4
#endif
#define CAPACITY 2
#define INDICES 8         /* they wrap around here, where C's do at 2^64 */
#define SHM_INDEX_START 6 /* and begin just below */
#define SINCE(later, earlier) ((INDICES + (later) - (earlier)) % INDICES)
#define PLUS(index, n) (((index) + (n)) % INDICES)
#define NEVER 255

#ifdef ONE_TOO_MANY
#define FULL (CAPACITY + 1)
#else
#define FULL CAPACITY
#endif

/* Between two fences a compiler may order stores as it likes: as written, or the other way round. */
#ifdef REVERSED
#define EITHER(first, second) second; first
#define AT(i, n) ((n) - 1 - (i))
#else
#define EITHER(first, second) first; second
#define AT(i, n) (i)
#endif

mtype = { NONE, RECORD, CELL, REPORT };

typedef Slot { byte kind; byte value };
typedef Undo { mtype kind; byte lane_id; byte index; byte seen; byte n; byte cell[2]; byte old[2] };
typedef Lane {
    byte head; byte spilled; byte added;
    byte tail;
    byte intent_spilled; byte intent_n; byte intent_value[2];
    byte cells[3]; byte seen[3]; /* the last one: of adds */
    byte reported; /* of the records taken */
    Slot ring[CAPACITY]
};

Lane lane[LANES];
byte store[4]; /* the last two: of adds; how many events came through a ring */
Undo undo;

/* The world: whose process lives, whom somebody is about to kill. */
bool dead[LANES], retired[LANES], kill_emitter[LANES], kill_collector;

/* What there has to be, event by event as bits. */
byte committed, published, adds, shown, through_rings;
#define SHOWN (store[1] | store[2])

/* ---- the emitter ------------------------------------------------------------------------ */

/* Loads the tail; found says what there is, and the limit moves. */
inline shm_ring_refresh() {
    tail = lane[l].tail;
    d_step {
        assert(SINCE(head, tail) <= CAPACITY);
        if
        :: SINCE(head, tail) >= FULL -> room = false; assert(kicked && kicked_at == tail)
        :: SINCE(head, tail) < CAPACITY / 2 -> room = true; limit = PLUS(tail, CAPACITY / 2)
        :: else -> room = true; limit = PLUS(tail, CAPACITY);
#ifndef WITHOUT_KICK
           kicked = true; kicked_at = tail
#endif
        fi;
        tail = 0
    }
}

inline fill() {
    lane[l].ring[head % CAPACITY].kind = bits;
    lane[l].ring[head % CAPACITY].value = bits;
}

inline shm_ring_publish_run() {
    d_step {
        head = PLUS(head, 1);
        /* C: atomic_store_explicit(ring->shared_head, ring->head, memory_order_release) */
        lane[l].head = head;
        committed = committed | bits; published = published | bits;
        through_rings++
    }
}

inline shm_put_add() {
#ifdef ADDED_FIRST
    lane[l].added++;
#endif
    d_step {
        /* C: atomic_store_explicit(cell, shm_bits(total), memory_order_relaxed) */
        lane[l].cells[2] = lane[l].cells[2] + bits;
        committed = committed | bits; adds = adds | bits
    }
    d_step {
        /* C: atomic_store_explicit(added, atomic_load_explicit(added, memory_order_relaxed) + 1,
         *        memory_order_release) */
#ifndef ADDED_FIRST
        lane[l].added++;
#endif
        published = published | bits
    }
}

inline shm_spill_begin() {
#ifndef WITHOUT_INTENT_NONE
    /* C: atomic_store_explicit(&spill.intent->spilled, SHM_INTENT_NONE, memory_order_relaxed)
     * C: atomic_signal_fence(memory_order_seq_cst) */
    lane[l].intent_spilled = NEVER;
#endif
    /* C: spill.intent->head = atomic_load_explicit(&header->producer.head, memory_order_relaxed)
     * C: spill.intent->kind = 0 */
    skip
}

inline shm_spill_set(cell, amount) {
    /* C: spill->intent->changes[spill->n++] = (struct shm_cell_change){value, cell, 0} */
    lane[l].intent_value[cell] = lane[l].cells[cell] + amount
}

inline shm_spill_commit() {
#ifdef SPILLED_FIRST
    d_step { lane[l].spilled++; committed = committed | bits; published = published | bits };
#endif
    /* C: spill->intent->n = spill->n */
    lane[l].intent_n = 2;
    d_step {
        /* C: atomic_signal_fence(memory_order_seq_cst)
         * C: atomic_store_explicit(&spill->intent->spilled, spilled, memory_order_relaxed)
         * C: atomic_signal_fence(memory_order_seq_cst) */
        lane[l].intent_spilled = lane[l].spilled;
        committed = committed | bits
    }
    /* C: atomic_store_explicit(&spill->cells[spill->intent->changes[i].cell],
     *        spill->intent->changes[i].value, memory_order_relaxed)
     * C: atomic_signal_fence(memory_order_seq_cst) */
    lane[l].cells[AT(0, 2)] = lane[l].intent_value[AT(0, 2)];
    lane[l].cells[AT(1, 2)] = lane[l].intent_value[AT(1, 2)];
#ifndef SPILLED_FIRST
    d_step {
        /* C: atomic_store_explicit(spill->spilled, spilled + 1, memory_order_release) */
        lane[l].spilled++;
        published = published | bits
    }
#endif
}

proctype emitter(byte l) {
    byte event, bits, tail, head = SHM_INDEX_START, kicked_at;
    byte limit = PLUS(SHM_INDEX_START, CAPACITY / 2);
    bool room, kicked;
    {
        do
        :: event < EVENTS -> /* an add */
            d_step { bits = 1 << (l * EVENTS + event); event++ };
            shm_put_add()
        :: event < EVENTS ->
            d_step { bits = 1 << (l * EVENTS + event); event++; room = (head != limit) };
            if
            :: room
            :: else -> shm_ring_refresh()
            fi;
#ifdef WAIT_FOR_ROOM
            do
            :: room -> break
            :: !room -> lane[l].tail != kicked_at; shm_ring_refresh()
            od;
#endif
            if
#ifdef HEAD_FIRST
            :: room -> shm_ring_publish_run(); head = SINCE(head, 1); fill(); head = PLUS(head, 1)
#else
            :: room -> fill(); shm_ring_publish_run()
#endif
            :: else ->
                shm_spill_begin();
                shm_spill_set(0, 1);
                shm_spill_set(1, bits);
                shm_spill_commit()
            fi
        :: else -> break
        od
    } unless {
        kill_emitter[l]
    };
    dead[l] = true
}

/* ---- the collector: one event at a time ------------------------------------------------- */

inline shm_undo_begin() {
    /* C: undo->kind = SHM_UNDO_NONE
     * C: shm_fence() */
    undo.kind = NONE;
    /* C: undo->lane_id = lane_id
     * C: undo->index = tail - 1
     * C: undo->n = 0
     * C: shm_fence() */
    EITHER(undo.lane_id = l, EITHER(undo.index = SINCE(tail[l], 1), undo.n = 0));
    /* C: undo->kind = SHM_UNDO_RECORD
     * C: shm_fence() */
    undo.kind = RECORD;
}

inline note_changes() {
    i = 0;
    do
    :: i < plan_n ->
        EITHER(undo.cell[AT(i, plan_n)] = plan_cell[AT(i, plan_n)],
               undo.old[AT(i, plan_n)] = store[plan_cell[AT(i, plan_n)]]);
        i++
    :: else -> break
    od
}

inline shm_undo_note() {
    /* C: undo->changes[i] = (struct shm_change){(uint64_t)(plan->cell[i] - cells), *plan->cell[i]}
     * C: undo->n = plan->n */
    EITHER(note_changes(), undo.n = plan_n);
}

inline shm_plan_apply() {
    /* C: *plan->cell[i] = plan->value[i] */
    i = 0;
    do
    :: i < plan_n -> store[plan_cell[AT(i, plan_n)]] = plan_value[AT(i, plan_n)]; i++
    :: else -> break
    od
}

inline shm_undo_record() {
#ifndef NOTE_AFTER_NAME
    /* C: shm_undo_note(undo, cells, plan)
     * C: shm_fence() */
    shm_undo_note();
#endif
#ifndef WITHOUT_UNDO
    /* C: undo->index = tail
     * C: shm_fence() */
    undo.index = tail[l];
#endif
#ifdef NOTE_AFTER_NAME
    shm_undo_note();
#endif
    /* C: shm_plan_apply(plan)
     * C: shm_fence() */
    shm_plan_apply();
}

inline shm_undo_state(what, at, was) {
#ifndef KIND_STAYS
    /* C: undo->kind = SHM_UNDO_NONE
     * C: shm_fence() */
    undo.kind = NONE;
#endif
    /* C: shm_undo_note(undo, cells, plan)
     * C: undo->lane_id = lane_id
     * C: undo->index = index
     * C: undo->seen = seen
     * C: shm_fence() */
    EITHER(shm_undo_note(), EITHER(undo.lane_id = l, EITHER(undo.index = at, undo.seen = was)));
    /* C: undo->kind = kind
     * C: shm_fence() */
    undo.kind = what;
    /* C: shm_plan_apply(plan)
     * C: shm_fence() */
    shm_plan_apply();
}

inline shm_undo_done() {
    /* C: shm_fence()
     * C: undo->kind = SHM_UNDO_NONE */
    undo.kind = NONE;
}

inline shm_undo_restore() {
#ifdef KIND_FIRST
    undo.kind = NONE;
#endif
    /* C: cells[undo->changes[i].cell] = undo->changes[i].old
     * C: shm_fence() */
    i = 0;
    do
    :: i < undo.n -> store[undo.cell[AT(i, undo.n)]] = undo.old[AT(i, undo.n)]; i++
    :: else -> break
    od;
    /* C: undo->kind = SHM_UNDO_NONE */
    undo.kind = NONE;
}

inline shm_ring_read() {
    record.kind = lane[l].ring[tail[l] % CAPACITY].kind;
    record.value = lane[l].ring[tail[l] % CAPACITY].value;
    assert(record.kind == record.value);
}

inline shm_ring_release_run() {
    d_step {
        /* C: atomic_store_explicit(reader->shared_tail, reader->tail + n, memory_order_release)
         * C: atomic_signal_fence(memory_order_seq_cst) */
        lane[l].tail = PLUS(tail[l], 1);
        tail[l] = PLUS(tail[l], 1)
    }
}

inline drain_ring() {
    /* C: shm_undo_begin(drain->undo, drain->lane.lane_id, drain->ring.tail) */
    if
    :: waiting > 0 -> shm_undo_begin()
    :: else
    fi;
    do
    :: waiting > 0 ->
        /* C: shm_ring_read(&drain->ring, &record) */
        shm_ring_read();
        d_step {
            plan_n = 2;
            plan_cell[0] = 0; plan_value[0] = store[0] + 1;
            plan_cell[1] = 1; plan_value[1] = store[1] + record.value
        };
#ifdef TAIL_FIRST
        lane[l].tail = PLUS(tail[l], 1);
#endif
        /* C: shm_undo_record(drain->undo, drain->cells, &plan, drain->ring.tail) */
        shm_undo_record();
        /* C: shm_ring_release(&drain->ring) */
        shm_ring_release_run();
        waiting--
    :: else -> break
    od
}

/* The collector's own count, of events in place of what they are worth: once for a pass. */
inline count_taken() {
    now = SINCE(tail[l], SHM_INDEX_START);
    was = lane[l].reported;
    if
    :: now == was
    :: else ->
#ifdef REPORTED_FIRST
        lane[l].reported = now;
#endif
        d_step { plan_n = 1; plan_cell[0] = 3; plan_value[0] = store[3] + SINCE(now, was) };
        /* C: shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_REPORT, drain->lane.lane_id,
         *        SHM_REPORT_TAKEN, seen) */
        shm_undo_state(REPORT, 0, was);
        /* C: atomic_store_explicit(reported, now, memory_order_relaxed) */
        lane[l].reported = now;
        /* C: shm_undo_done(drain->undo) */
        shm_undo_done()
    fi
}

/* ---- the collector: totals in the lane -------------------------------------------------- */

inline take_told(cell) {
    now = lane[l].cells[cell];
    was = lane[l].seen[cell];
    if
    :: now == was
    :: else ->
        assert(now > was);
#ifdef SEEN_FIRST
        lane[l].seen[cell] = now;
#endif
        d_step { plan_n = 1; plan_cell[0] = cell; plan_value[0] = store[cell] + now - was };
        /* C: shm_undo_state(drain->undo, drain->cells, &plan, SHM_UNDO_CELL, drain->lane.lane_id,
         *        cell, seen) */
        shm_undo_state(CELL, cell, was);
        /* C: atomic_store_explicit(seen_cell, now, memory_order_relaxed) */
        lane[l].seen[cell] = now;
        /* C: shm_undo_done(drain->undo) */
        shm_undo_done()
    fi
}

inline shm_take_counters() {
    take_told(2);
}

/* But for counters, which come next. */
inline shm_take_totals() {
    take_told(0);
    take_told(1)
}

/* What is not needed any more: states that differ in nothing else are one. */
inline forget() {
    atomic {
        i = 0; waiting = 0; spilled = 0; added = 0; now = 0; was = 0; plan_n = 0;
        plan_cell[0] = 0; plan_cell[1] = 0; plan_value[0] = 0; plan_value[1] = 0;
        record.kind = 0; record.value = 0
    }
}

inline shm_drain_pass() {
    /* C: uint64_t waiting = shm_ring_waiting(&drain->ring) */
    d_step { waiting = SINCE(lane[l].head, tail[l]); assert(waiting <= CAPACITY) };
    /* C: uint64_t added = atomic_load_explicit(&producer->added, memory_order_acquire) */
    added = lane[l].added;
    /* C: uint64_t spilled = atomic_load_explicit(&producer->spilled, memory_order_acquire) */
    spilled = lane[l].spilled;
    /* C: found = drain_ring(drain, waiting)
     * C: count_taken(drain)
     * C: found = shm_take_totals(drain)
     * C: found = shm_take_counters(drain) */
    drain_ring();
    count_taken();
    if
    :: spilled != folded[l] -> shm_take_totals()
    :: else
    fi;
    if
    :: spilled != folded[l] || added != looked[l] -> shm_take_counters()
    :: else
    fi;
    folded[l] = spilled;
    looked[l] = added;
    forget()
}

/* ---- after a kill ----------------------------------------------------------------------- */

inline shm_recover() {
    tail[l] = lane[l].tail;
    if
#ifdef ANY_LANE
    :: undo.kind == NONE
#else
    :: undo.kind == NONE || undo.lane_id != l
#endif
    /* C: return shm_undo_restore(undo, drain->cells, drain->n_cells)
     * C: undo->kind = SHM_UNDO_NONE */
    :: else ->
        if
        :: undo.kind == RECORD && undo.index == tail[l] -> shm_undo_restore()
        :: undo.kind == CELL && undo.seen == lane[l].seen[undo.index] -> shm_undo_restore()
        :: undo.kind == REPORT && undo.seen == lane[l].reported -> shm_undo_restore()
        :: else -> undo.kind = NONE
        fi
    fi
}

inline finish_spill() {
    if
#ifndef WITHOUT_FINISH
    :: lane[l].intent_spilled == lane[l].spilled && lane[l].intent_n > 0 ->
        /* C: atomic_store_explicit(&drain->lane.cells[intent->changes[i].cell],
         *        intent->changes[i].value, memory_order_relaxed) */
        i = 0;
        do
        :: i < lane[l].intent_n ->
            lane[l].cells[AT(i, 2)] = lane[l].intent_value[AT(i, 2)];
            i++
        :: else -> break
        od;
        /* C: atomic_store_explicit(spilled_total, spilled + 1, memory_order_relaxed) */
        lane[l].spilled++
#endif
    :: else
    fi
}

inline reset() {
    forget();
    atomic {
        l = 0; before = 0; found_dead = false;
        do
        :: l < LANES -> tail[l] = 0; folded[l] = 0; looked[l] = 0; l++
        :: else -> break
        od;
        l = 0
    }
}

proctype collector() {
    byte tail[LANES], folded[LANES], looked[LANES]; /* this collector's own: gone with it */
    byte l, i, waiting, spilled, added, now, was, before, plan_n, plan_cell[2], plan_value[2];
    bool found_dead;
    Slot record;
start:
    {
        do /* reopen */
        :: l < LANES && !retired[l] -> shm_recover(); l++
        :: l < LANES && retired[l] -> l++
        :: else -> break
        od;
        do
        :: before = published;
            l = 0;
            do /* a tick, or a scrape */
            :: l < LANES && !retired[l] -> shm_drain_pass(); l++
            :: l < LANES && retired[l] -> l++
            :: else -> break
            od;
            atomic {
                assert((SHOWN & before) == before);
                assert((SHOWN & committed) == SHOWN);
                assert((SHOWN & shown) == shown);
                shown = SHOWN;
                before = 0;
                l = 0
            };
            do /* retire the dead */
            :: l < LANES && !retired[l] ->
                found_dead = dead[l];
                if
                :: found_dead -> finish_spill(); shm_drain_pass(); retired[l] = true
                :: else
                fi;
                l++
            :: l < LANES && retired[l] -> l++
            :: else -> break
            od;
            if
            :: retired[0] && retired[LANES - 1] -> break
            :: else
            fi
        od
    } unless {
        kill_collector
    };
    reset();
    if
    :: kill_collector -> kill_collector = false; goto start
    :: kill_collector -> goto gone
    :: !kill_collector
    fi;
    assert(store[1] == (committed & ~adds));
    assert((store[2] & adds) == store[2]);
    assert((store[2] & published) == (adds & published));
    i = 0;
    do
    :: i < LANES * EVENTS -> now = now + (((committed & ~adds) >> i) & 1); i++
    :: else -> break
    od;
    assert(store[0] == now);
    assert(store[3] == through_rings);
gone:
    skip
}

/* Somebody with kill -9. UNKILLED: the emitter is left alone, so it has to come to its end by itself,
 * with a collector that may be gone. */
active proctype killer() {
end:
    do
    :: !kill_collector -> kill_collector = true
#ifndef UNKILLED
    :: !kill_emitter[0] -> kill_emitter[0] = true
#if LANES > 1
    :: !kill_emitter[1] -> kill_emitter[1] = true
#endif
#endif
    od
}

init {
    byte n;
    atomic {
        undo.kind = NONE;
        do
        :: n < LANES ->
            lane[n].head = SHM_INDEX_START;
            lane[n].tail = SHM_INDEX_START;
            run emitter(n);
            n++
        :: else -> break
        od;
        run collector()
    }
}

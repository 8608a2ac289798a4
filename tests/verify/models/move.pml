/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The move into a larger lane, for spin: a process asks for one, and counts on meanwhile, in its lane
 * and, what that has no room for, in private memory. It carries its gauge and its open calls over, and
 * names the new lane in the old one; then it may do so again. Or it is refused, and what waited goes
 * into the lane that it has. It is killed between any two stores. The collector makes lanes, takes their
 * totals, shows gauges and calls, and retires every lane that is nobody's: the one that was left, one
 * that never was begun, the dead process's. It is killed as well; all that it knows is in the files.
 *
 * How a total goes from a lane into the store is the matter of lane.pml, and one step here; so is the
 * last event of a dead process, and how an abandoned call is counted, which calls.pml takes apart.
 * Who has a lane, with forks, is in life.pml. Inlines and quotes ("C:") are as there.
 *
 * Shown for every execution:
 *   - every start and every end that was published counts once, whichever lane it is in. What waited
 *     comes wholly, or only a kill has lost it;
 *   - a call whose start is counted, and whose end is not, is counted as abandoned, once; no other is;
 *   - whenever the collector looks, it shows each call once that is open all the while, no call twice,
 *     and none that had ended before or whose start never counts;
 *   - it shows one gauge, with a value that was the newest at some instant of the look, and of a dead
 *     process it keeps the last value, once;
 *   - no lane is retired in which the process still records.
 */
#ifndef CALLS
#define CALLS 2
#endif
#ifndef SETS
#define SETS 1 /* of the gauge, beside the first */
#endif
#ifndef LANES
#define LANES 3 /* the first, and those that are asked for */
#endif
#define SLOTS 2
#define NO_LANE 255
#define REFUSED 254
#define START(call) (1 << (call))
#define END(call) (16 << (call))
#define ENDS(events) ((events) >> 4)
#define STARTS(events) ((events) & 15)

/* A call stands in its slot as its start; 0: the slot is free. Events are bits, too. */
typedef Lane {
    byte predecessor, moved_to;
    byte ring, cells;      /* events; those in cells count once `spilled` says so */
    bit spilled;
    byte calls[SLOTS], calls_high;
    byte gauge;
    byte last;             /* the event that a kill may have left half done */
    byte taken;            /* the collector's, as the rest */
    bit arrived;           /* the process has come here from the lane before: in the ledger */
    bit made, gauge_taken, retired
};
#define PUBLISHED(lane) (lane.ring | (lane.spilled -> lane.cells : 0))

Lane lane[LANES];
byte next_lane_id = 1;
byte store, abandoned, gauges_left;

/* Who has a lane: the process, or the message on its way to it. */
bit mapped[LANES], sent[LANES];
chan requests = [1] of { byte }; /* the lane that is too small */
chan answers = [1] of { byte };
chan kill_emitter = [0] of { bit };
chan kill_collector = [0] of { bit };
bool asked, dead;

/* What there has to be. listed, unlisted: what a look may find. */
byte published, listed, unlisted, gauge = 1;

/* ---- the emitter ------------------------------------------------------------------------ */

/* What waits for a larger lane, in memory of the process alone. */
typedef Waiting { byte events, calls[SLOTS], ended };

inline find(call) {
    slot = 0;
    do
    :: slot < SLOTS && lane[l].calls[slot] != call && waiting.calls[slot] != call -> slot++
    :: else -> break
    od
}

inline find_free() {
    slot = 0;
    do
    :: slot < SLOTS && (lane[l].calls[slot] || waiting.calls[slot]) -> slot++
    :: else -> break
    od
}

inline record(event) {
    d_step {
        assert(!lane[l].retired && mapped[l]);
        lane[l].ring = lane[l].ring | event;
        lane[l].last = event;
        published = published | event
    }
}

inline list(call) {
    lane[l].calls[slot] = call;
    lane[l].calls_high = (slot >= lane[l].calls_high -> slot + 1 : lane[l].calls_high);
    listed = listed | call
}

inline unlist(call) {
    lane[l].calls[slot] = 0;
    unlisted = unlisted | call
}

inline begin_call() {
    if
    :: record(START(next)); d_step { find_free(); list(START(next)) }
    :: wants -> d_step {
        find_free();
        waiting.events = waiting.events | START(next);
        waiting.calls[slot] = START(next)
       }
    fi;
    d_step { next++; slot = 0 }
}

/* A call whose series waits can only end there, and so may any other. Its slot in the lane stays, as
 * its end does not count yet. */
inline end_call(call) {
    if
    :: !(waiting.events & START(call)) -> record(END(call)); d_step { find(START(call)); unlist(START(call)) }
    :: wants -> d_step {
        find(START(call));
        waiting.events = waiting.events | END(call);
        waiting.calls[slot] = 0;
        if
        :: lane[l].calls[slot] == START(call) ->
#ifdef UNLISTED_EARLY
            lane[l].calls[slot] = 0;
            unlisted = unlisted | START(call)
#else
            waiting.ended = waiting.ended | START(call)
#endif
        :: else
        fi
       }
    fi;
    d_step { over = over | START(call); slot = 0 }
}

inline set_gauge() {
    d_step { sets++; gauge++; lane[l].gauge = gauge };
}

inline forget_waiting() {
    d_step { waiting.events = 0; waiting.calls[0] = 0; waiting.calls[1] = 0; waiting.ended = 0; slot = 0;
             wants = false; to = 0 }
}

inline shm_carry_state() {
    d_step {
        slot = 0;
        do
        :: slot < SLOTS ->
            if
            :: lane[l].calls[slot] && !(waiting.ended & lane[l].calls[slot]) ->
                waiting.calls[slot] = lane[l].calls[slot]
            :: else
            fi;
            slot++
        :: else -> break
        od;
        slot = 0
    }
}

inline name() {
    d_step {
        lane[l].moved_to = to; /* with all that the process has done there */
        published = published | waiting.events;
        listed = listed | waiting.calls[0] | waiting.calls[1];
        unlisted = unlisted | waiting.ended
    }
}

/* The stores into the new lane: in their order, see calls.pml. */
inline shm_producer_move() {
#ifdef TOTALS_COPIED
    lane[to].cells = waiting.events | PUBLISHED(lane[l]);
#else
    lane[to].cells = waiting.events;
#endif
#ifndef GAUGE_LATE
    lane[to].gauge = lane[l].gauge;
#endif
    lane[to].calls[0] = waiting.calls[0];
    lane[to].calls[1] = waiting.calls[1];
    lane[to].spilled = (lane[to].cells != 0);
    lane[to].calls_high = (waiting.calls[1] -> 2 : (waiting.calls[0] -> 1 : 0));
}

inline shm_producer_replace() {
    shm_carry_state();
#ifdef NAMED_EARLY
    name();
    shm_producer_move();
#else
    shm_producer_move();
    /* C: atomic_store_explicit(&old->producer.moved_to, to->lane_id, memory_order_release) */
    name();
#endif
#ifdef GAUGE_LATE
    lane[to].gauge = lane[l].gauge;
#endif
    mapped[l] = false;
    l = to;
    forget_waiting()
}

/* What waited of one series: one spill, which lane.pml takes apart. Then the slots of calls that have
 * ended, see settle_call. */
inline shm_settle_commit(events) {
    d_step {
        /* C: spill->intent->n = spill->n
         * C: atomic_signal_fence(memory_order_seq_cst)
         * C: atomic_store_explicit(&spill->intent->spilled, spilled, memory_order_relaxed)
         * C: atomic_signal_fence(memory_order_seq_cst)
         * C: atomic_store_explicit(&spill->cells[spill->intent->changes[i].cell],
         *        spill->intent->changes[i].value, memory_order_relaxed)
         * C: atomic_signal_fence(memory_order_seq_cst)
         * C: atomic_store_explicit(spill->spilled, spilled + 1, memory_order_release) */
        assert(!lane[l].retired && mapped[l]);
        lane[l].cells = lane[l].cells | (events);
        lane[l].spilled = true;
        lane[l].last = (ENDS(events) && STARTS(events) -> 0 : (events));
        published = published | (events)
    }
    /* C: atomic_store_explicit(
     *        &settling->p->lane.calls[spill->intent->changes[i].cell].series, 0,
     *        memory_order_release) */
}

inline settle_call(call) {
    if
    :: (waiting.events & START(call)) && (waiting.events & END(call)) ->
        shm_settle_commit(START(call) | END(call))
    :: (waiting.events & START(call)) && !(waiting.events & END(call)) ->
#ifdef SETTLED_LIST_FIRST
        d_step { find(START(call)); list(START(call)) };
        shm_settle_commit(START(call))
#else
        shm_settle_commit(START(call));
        d_step { find(START(call)); list(START(call)) }
#endif
    :: !(waiting.events & START(call)) && (waiting.events & END(call)) ->
        shm_settle_commit(END(call));
        d_step { find(START(call)); unlist(START(call)) }
    :: else
    fi
}

/* There is no larger lane. */
inline shm_settle() {
    settle_call(0);
    settle_call(1);
    /* How many events there were: */
    /* C: atomic_store_explicit(&into->gauge_writes,
     *        atomic_load_explicit(&into->gauge_writes, memory_order_relaxed) +
     *            atomic_load_explicit(&from->gauge_writes, memory_order_relaxed),
     *        memory_order_release)
     * C: atomic_store_explicit(&into->added,
     *        atomic_load_explicit(&into->added, memory_order_relaxed) + added,
     *        memory_order_release)
     * C: atomic_store_explicit(&into->spilled,
     *        atomic_load_explicit(&into->spilled, memory_order_relaxed) + spilled,
     *        memory_order_relaxed) */
    forget_waiting()
}

proctype emitter() {
    byte l, slot, next, over, sets, to;
    bool wants;
    Waiting waiting;
    {
        do
        :: next < CALLS && !((lane[l].calls[0] | waiting.calls[0]) && (lane[l].calls[1] | waiting.calls[1])) ->
            begin_call()
        :: next > 0 && !(over & START(0)) -> end_call(0)
        :: next > 1 && !(over & START(1)) -> end_call(1)
        :: sets < SETS -> set_gauge()
        :: !asked && next_lane_id < LANES -> atomic { asked = true; wants = true; requests!l }
        :: atomic { answers?to; asked = false };
            if
            :: to == REFUSED -> shm_settle()
            :: else ->
                d_step { sent[to] = false; mapped[to] = true };
                shm_producer_replace()
            fi
        od
    } unless {
        kill_emitter?_
    };
    /* The kernel lets go of what the process had, one by one. */
    atomic {
        if
        :: requests?_
        :: empty(requests)
        fi;
        if
        :: answers?_
        :: empty(answers)
        fi;
        dead = true; asked = false; slot = 0; next = 0; over = 0; sets = 0; to = 0; l = 0; wants = false;
        waiting.events = 0; waiting.calls[0] = 0; waiting.calls[1] = 0; waiting.ended = 0
    };
    do
    :: mapped[0] || sent[0] -> d_step { mapped[0] = false; sent[0] = false }
    :: mapped[1] || sent[1] -> d_step { mapped[1] = false; sent[1] = false }
#if LANES > 2
    :: mapped[2] || sent[2] -> d_step { mapped[2] = false; sent[2] = false }
#endif
    :: else -> break
    od
}

/* ---- the collector ---------------------------------------------------------------------- */

#define IS_THERE(x) (lane[x].made && !lane[x].retired)
#define NAMES(before, x) (IS_THERE(before) && lane[before].moved_to == (x))
#ifdef ARRIVED_WHEN_ALONE
#define ARRIVED(x) (lane[x].arrived || !IS_THERE(lane[x].predecessor))
#else
#define ARRIVED(x) lane[x].arrived
#endif
#define BEGUN(x) (ARRIVED(x) || NAMES(lane[x].predecessor, x))

inline drain(x) {
    d_step {
        if
#ifdef DRAINED_BEFORE_NAMED
        :: true ->
#else
        :: BEGUN(x) ->
#endif
            assert(!(store & PUBLISHED(lane[x]) & ~lane[x].taken));
            store = store | PUBLISHED(lane[x]);
            lane[x].taken = PUBLISHED(lane[x])
        :: else
        fi
    }
}

/* Reads moved_to of every lane, once. */
inline find_shown() {
    x = 0;
    do
    :: x < next_lane_id ->
        d_step {
            names[x] = (IS_THERE(x) -> lane[x].moved_to : NO_LANE);
            x++
        }
    :: else -> break
    od;
    x = 0
}

inline look_at(x) {
    if
#ifdef SHOWN_LANE_BY_LANE
    :: IS_THERE(x) && lane[x].moved_to == NO_LANE && BEGUN(x) ->
#else
    :: IS_THERE(x) && names[x] == NO_LANE && (lane[x].arrived || names[lane[x].predecessor] == x) ->
#endif
        slot = 0;
        do
        :: slot < lane[x].calls_high ->
            d_step {
                assert(!(seen & lane[x].calls[slot]));
                seen = seen | lane[x].calls[slot];
                slot++
            }
        :: else ->
            d_step {
                slot = 0;
                gauges_seen++;
                assert(lane[x].gauge >= gauge_before && lane[x].gauge <= gauge)
            };
            break
        od
    :: else
    fi
}

inline look() {
    d_step { open_before = listed & ~unlisted; over_before = unlisted; gauge_before = gauge };
#ifndef SHOWN_LANE_BY_LANE
    find_shown();
#endif
    look_at(0);
    look_at(1);
#if LANES > 2
    look_at(2);
#endif
    atomic {
        assert(((open_before & ~unlisted) & ~seen) == 0);
        assert((seen & over_before) == 0);
        assert((seen & ~published) == 0);
        assert(gauges_seen <= 1 && gauges_seen + gauges_left > 0);
        open_before = 0; over_before = 0; gauge_before = 0; seen = 0; gauges_seen = 0;
        names[0] = 0; names[1] = 0;
#if LANES > 2
        names[2] = 0
#endif
    }
}

/* The end that a dead process has settled last. */
inline free_slots(x) {
    /* C: atomic_store_explicit(&drain->lane.calls[intent->changes[i].cell].series, 0,
     *        memory_order_relaxed) */
    slot = 0;
    do
    :: slot < SLOTS ->
        if
        :: ENDS(lane[x].last) && lane[x].calls[slot] == ENDS(lane[x].last) ->
            lane[x].calls[slot] = 0;
            unlisted = unlisted | ENDS(lane[x].last)
        :: else
        fi;
        slot++
    :: else -> break
    od
}

/* The last event of a dead process, see calls.pml. */
inline finish(x) {
    d_step {
        if
        :: STARTS(lane[x].last) && lane[x].calls[0] != lane[x].last &&
           lane[x].calls[1] != lane[x].last ->
            slot = (lane[x].calls[0] -> 1 : 0);
            assert(!lane[x].calls[slot]);
            lane[x].calls[slot] = lane[x].last;
            listed = listed | lane[x].last
        :: else -> free_slots(x)
        fi;
        if
        :: PUBLISHED(lane[x]) -> lane[x].calls_high = SLOTS
        :: else
        fi;
        lane[x].last = 0;
        slot = 0
    }
}

inline drain_last(x) {
#ifndef WITHOUT_LAST_DRAIN
    drain(x)
#else
    skip
#endif
}

inline abandon(x, slot) {
    d_step {
        if
        :: slot < lane[x].calls_high && lane[x].calls[slot] ->
            assert(!(abandoned & lane[x].calls[slot]));
            abandoned = abandoned | lane[x].calls[slot];
            unlisted = unlisted | lane[x].calls[slot];
            lane[x].calls[slot] = 0
        :: else
        fi
    }
}

#define IS_LEFT(x) (IS_THERE(x) && lane[x].moved_to != NO_LANE)
#define IS_NOBODYS(x) (IS_THERE(x) && lane[x].moved_to == NO_LANE && !mapped[x] && !sent[x])

/* A lane that the process has left: the next one stands for it, and says so before it is gone. */
inline retire_left(x) {
    drain_last(x);
#ifdef COUNTED_WHEN_LEFT
    bury(x);
#endif
#ifdef ARRIVED_LATE
    lane[x].retired = true;
    lane[lane[x].moved_to].arrived = true
#else
    lane[lane[x].moved_to].arrived = true;
    lane[x].retired = true
#endif
}

/* The state that a dead process has left. */
inline bury(x) {
    abandon(x, 0);
    abandon(x, 1);
    d_step {
        if
        :: !lane[x].gauge_taken ->
            assert(lane[x].gauge == gauge);
            gauges_left++;
            lane[x].gauge_taken = true
        :: else
        fi
    }
}

/* A lane that nobody has. */
inline retire_abandoned(x) {
    finish(x);
    drain_last(x);
    if
    :: ARRIVED(x) -> bury(x)
    :: else
    fi;
    lane[x].retired = true
}

/* First the lane before, so that its process is known to have come here. */
inline retire_before(x, before) {
    if
    :: NAMES(before, x) -> retire_left(before)
    :: else
    fi
}

/* Makes a lane, and sends it: to nobody, if the process has died. */
inline grant() {
    d_step {
        lane[next_lane_id].predecessor = x;
        lane[next_lane_id].made = true;
        granting = next_lane_id;
        next_lane_id++;
        x = 0
    };
    atomic {
        if
        :: !dead -> sent[granting] = true; answers!granting
        :: else
        fi;
        granting = NO_LANE
    }
}

inline begin() {
    d_step {
        x = 0; slot = 0; seen = 0; open_before = 0; over_before = 0; gauge_before = 0;
        gauges_seen = 0; granting = NO_LANE; names[0] = 0; names[1] = 0;
#if LANES > 2
        names[2] = 0
#endif
    }
}

proctype collector() {
    byte x, slot, seen, open_before, over_before, gauge_before, gauges_seen, granting = NO_LANE;
    byte names[LANES];
    bool killed;
start:
    {
        do
        :: requests?x ->
            if
            :: next_lane_id < LANES -> grant()
            :: true -> atomic {
                if
                :: !dead -> answers!REFUSED
                :: else
                fi;
                x = 0
               }
            fi
        :: IS_THERE(0) -> drain(0)
        :: IS_THERE(1) -> drain(1)
#ifdef LOOKS
        :: look()
#endif
        :: IS_LEFT(0) -> retire_left(0)
        :: IS_NOBODYS(0) -> retire_abandoned(0)
        :: IS_NOBODYS(1) -> retire_before(1, 0); retire_abandoned(1)
#if LANES > 2
        :: IS_THERE(2) -> drain(2)
        :: IS_LEFT(1) -> retire_before(1, 0); retire_left(1)
        :: IS_NOBODYS(2) ->
            if
            :: NAMES(0, 2) -> retire_left(0) /* lane 1 was lost on its way */
            :: NAMES(1, 2) -> retire_before(1, 0); retire_left(1)
            :: else
            fi;
            retire_abandoned(2)
        :: dead && !IS_THERE(0) && !IS_THERE(1) && !IS_THERE(2) -> break
#else
        :: dead && !IS_THERE(0) && !IS_THERE(1) -> break
#endif
        od
    } unless {
        atomic { kill_collector?_; killed = true }
    };
    begin();
    if
    :: killed ->
        /* The connection ends: what is on its way arrives, and nothing else. */
        atomic {
            if
            :: requests?x -> x = 0
            :: empty(requests)
            fi;
            if
            :: empty(answers) -> asked = false
            :: nempty(answers)
            fi;
            killed = false
        };
        goto start
    :: else
    fi;
    assert(store == published);
    assert(abandoned == (STARTS(store) & ~ENDS(store)));
    assert(gauges_left == 1)
}

active proctype killer() {
end:
    do
    :: kill_collector!1
    :: kill_emitter!1
    od
}

init {
    d_step {
        lane[0].made = true;
        lane[0].arrived = true;
        lane[0].predecessor = NO_LANE; lane[0].moved_to = NO_LANE;
        lane[1].moved_to = NO_LANE;
#if LANES > 2
        lane[2].moved_to = NO_LANE;
#endif
        lane[0].gauge = 1;
        mapped[0] = true
    };
    run emitter();
    run collector()
}

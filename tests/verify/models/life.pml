/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose lane it is, for spin: a process counts on its own, asks for a lane and moves into it, forks at
 * any point, in the middle of a record too, and ends or is killed; its child does the same. The collector
 * makes lanes, knows by leases which of them are nobody's, retires these, and is killed now and then.
 *
 * A lane is one number here, the events published in it; lane.pml and calls.pml take that apart. A lease
 * is granted while nobody has another open file description of the lane: the collector until it is sent,
 * the message on its way, whoever has it mapped.
 *
 * Shown for every execution:
 *   - nobody writes to a lane but the process that it was made for, and nobody once it is retired;
 *   - every lane that its process does not have any more, or never got, is retired, whatever the process's
 *     children do and wherever the collector was killed; and no other is;
 *   - the store holds exactly the events published in lanes;
 *   - a process never waits for the collector.
 */
#define PARENT 0
#define CHILD 1
#ifndef EVENTS
#define EVENTS 1
#endif
#define LANES 3
#define KILLS 1 /* of the collector */
#define NO_LANE 255

/* Who holds the open file description that a lane is handed over by. */
#define MAPPED(process) (1 << (process))
#define SENT(process) (4 << (process))
#define COLLECTOR 16
#define HAS(process) (MAPPED(process) | SENT(process))

typedef File { bool made; bool retired; byte owner; byte holders; byte total; byte taken };

File file[LANES];
byte next_lane_id, store, published;
chan registrations = [2] of { byte };
chan answers[2] = [2] of { byte };
bool asked[2], kill[2], gone[2], kill_collector;

/* What the kernel does when a process ends. */
inline release(who) {
    d_step {
        f = 0;
        do
        :: f < LANES -> file[f].holders = file[f].holders & ~HAS(who); f++
        :: else -> break
        od;
        f = 0;
        gone[who] = true
    }
}

/* ---- a process -------------------------------------------------------------------------- */

inline publish() {
    d_step {
        if
        :: lane != NO_LANE ->
            assert(file[lane].owner == me);
            assert(!file[lane].retired);
            published = published + total - file[lane].total;
            file[lane].total = total
        :: else
        fi
    }
}

inline attach() {
    atomic {
        answers[me]?found;
        if
        :: found != NO_LANE ->
            file[found].holders = file[found].holders & ~SENT(me) | MAPPED(me);
            lane = found
        :: else /* the collector was killed: the connection ends */
        fi;
        asked[me] = false
    };
    /* C: enter(self, producer, &lane) */
    publish()
}

inline after_fork_in_child() {
    /* C: keep_apart(&self->lane) && keep_apart(&self->waiting)
     * C: old->kicks = NULL
     * C: old->wait = NULL
     * C: self->state = SHM_PROCESS_NONE
     * C: self->lane = self->waiting = (struct shm_mapping){NULL, 0}
     * C: atomic_store_explicit(&self->producer, fresh, memory_order_relaxed)
     * C: old->disabled = true */
#ifdef KEEP_LANE
    skip;
#else
    atomic {
        if
#ifndef KEEP_MAPPING
        :: lane != NO_LANE -> file[lane].holders = file[lane].holders & ~MAPPED(me)
#endif
        :: else
        fi;
        lane = NO_LANE;
        total = 0
    };
#endif
    skip
}

proctype process(byte me, lane, total; bool half) {
    byte events, found, f;
    bool forked = (me == CHILD);
    {
        if
        :: me == CHILD -> after_fork_in_child()
        :: else
        fi;
        if
        :: half -> publish() /* the other half of the record that the fork interrupted */
        :: else
        fi;
        half = false;
        do
        :: events < EVENTS ->
            events++;
            total++;
            half = true;
            if /* a signal handler may fork here */
            :: !forked ->
                atomic {
                    forked = true;
                    if
                    :: lane != NO_LANE -> file[lane].holders = file[lane].holders | MAPPED(CHILD)
                    :: else
                    fi;
                    run process(CHILD, lane, total, half)
                }
            :: true
            fi;
            publish();
            half = false
        :: lane == NO_LANE && !asked[me] -> atomic { registrations!me; asked[me] = true }
        :: nempty(answers[me]) -> attach()
        :: events == EVENTS -> break
        :: events == EVENTS && me == CHILD -> /* or it lives on */
end:        false
        od
    } unless {
        kill[me]
    };
    release(me)
}

/* ---- the collector ---------------------------------------------------------------------- */

#ifdef DEAD_BY_CONNECTION
#define HELD(lane) !gone[file[lane].owner] && file[lane].owner == PARENT
#else
#define HELD(lane) (file[lane].holders != 0)
#endif
#define ABANDONED(lane) (file[lane].made && !file[lane].retired && !(HELD(lane)))

inline retire(lane) {
    atomic { /* the last drain: lane.pml */
        store = store + file[lane].total - file[lane].taken;
        file[lane].taken = file[lane].total
    };
    file[lane].retired = true
}

active proctype collector() {
    byte who, f;
end_begins:
    {
end:    do
        :: registrations?who ->
            f = next_lane_id;
            assert(f < LANES);
            next_lane_id++; /* in the store, before there is a file: no id comes twice */
            d_step {
                file[f].made = true;
                file[f].owner = who;
#ifndef ONLY_MAPPED
                file[f].holders = COLLECTOR
#endif
            };
            atomic {
                file[f].holders = file[f].holders & ~COLLECTOR;
                if
                :: !gone[who] ->
#ifndef ONLY_MAPPED
                    file[f].holders = file[f].holders | SENT(who);
#endif
                    answers[who]!f
                :: else
                fi;
                f = 0; who = 0
            }
        /* Whose process is gone: until there is one, the collector sleeps. */
        :: ABANDONED(0) -> retire(0)
        :: ABANDONED(1) -> retire(1)
        :: ABANDONED(2) -> retire(2)
        od
    } unless {
        kill_collector
    };
    /* Its descriptors are closed, and its connections end. */
    atomic {
        f = 0;
        do
        :: f < LANES -> file[f].holders = file[f].holders & ~COLLECTOR; f++
        :: else -> break
        od;
        do
        :: registrations?who
        :: empty(registrations) -> break
        od;
        who = PARENT;
        do
        :: who <= CHILD ->
            if
            :: asked[who] && !gone[who] && len(answers[who]) == 0 -> answers[who]!NO_LANE
            :: else
            fi;
            who++
        :: else -> break
        od;
        f = 0; who = 0; kill_collector = false
    };
    goto end_begins
}

/* Somebody who kills, or does not. */
active proctype killer() {
    byte n;
    if
    :: kill[PARENT] = true
    :: true
    fi;
    do
    :: n < KILLS -> kill_collector = true; n++; !kill_collector
    :: break
    od;
    if
    :: kill[CHILD] = true
    :: true
    fi
}

/* When nothing moves any more. */
active proctype judge() {
    byte f, untaken;
    timeout;
    do
    :: f < LANES ->
        if
        :: file[f].made ->
            assert(file[f].retired == !(file[f].holders & HAS(file[f].owner)));
            untaken = untaken + file[f].total - file[f].taken
        :: else
        fi;
        f++
    :: else -> break
    od;
    assert(store + untaken == published)
}

init {
    run process(PARENT, NO_LANE, 0, false);
    skip
}

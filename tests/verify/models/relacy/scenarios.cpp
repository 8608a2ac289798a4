/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core under a model of the C11 memory order: two threads, one of which records while the other
 * drains, and every value that a relaxed load may return. The lane is tiny, and full most of the time.
 *
 *   scenarios NAME ITERATIONS [FUNCTION OBJECT]
 *
 * Exit status 0: every execution was right. 1: one was not, and is described. With a function and an
 * object, as in `shm_ring_publish_run ring->shared_head`, the order of that operation is relaxed.
 */
#include "lane.hpp"

#include <iostream>
#include <map>
#include <string>

static const unsigned EMITTER = 0;

template <typename derived> struct scenario : rl::test_suite<derived, 2> {
    static const unsigned LOOKS = 3;
    node here;

    void before()
    {
        shm_lane lane = here.shared.format(RECORDS);
        here.begin(derived::type, lane);
        here.open(lane);
    }

    void thread(unsigned who)
    {
        derived *self = static_cast<derived *>(this);
        if (who == EMITTER)
            self->emit();
        else
            for (unsigned i = 0; i < derived::LOOKS; i++)
                self->look();
    }

    void after()
    {
        here.pass();
        static_cast<derived *>(this)->check();
        shm_drain_close(&here.drain);
    }
};

/* Ring, dictionary and spill: event i is worth 2^i, so a total tells which events it is made of. */
struct counting : scenario<counting> {
    static const uint16_t type = SHM_TYPE_COUNTER;
    static const unsigned EVENTS = 6;

    void emit()
    {
        for (unsigned i = 0; i < EVENTS; i++)
            shm_emit_add_traced(&here.producer, &here.series, (double)(1u << i), NULL);
    }

    void look() { here.pass(); }

    void check() { RL_ASSERT(shm_value(here.cells[0]) == (double)((1u << EVENTS) - 1)); }
};

/* The same without ring: each event goes straight to its cell. */
struct adding : scenario<adding> {
    static const uint16_t type = SHM_TYPE_COUNTER;
    static const unsigned EVENTS = 6;

    void emit()
    {
        for (unsigned i = 0; i < EVENTS; i++)
            shm_emit_add(&here.producer, &here.series, (double)(1u << i));
    }

    void look() { here.pass(); }

    void check() { RL_ASSERT(shm_value(here.cells[0]) == (double)((1u << EVENTS) - 1)); }
};

/* Open calls. Start times are odd and ends even, call i begins at 2i + 1; one slot is used by all. */
struct calling : scenario<calling> {
    static const uint16_t type = SHM_TYPE_CALLS;
    static const unsigned LOOKS = 5, CALLS_MADE = 2;

    void before()
    {
        scenario::before();
        here.define(here.series);
    }

    void emit()
    {
        for (unsigned i = 0; i < CALLS_MADE; i++) {
            shm_call call = {};
            shm_emit_call_start(&here.producer, &here.series, &call);
            shm_emit_call_end(&here.producer, &here.series, &call, NULL);
        }
    }

    uint64_t latest_start = 0;

    /* A call that is listed has begun; one that is listed no more has ended. */
    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        here.pass();
        RL_ASSERT(n <= 1);
        uint64_t begun = (latest_start + 1) / 2, ended = begun;
        if (n == 1) {
            RL_ASSERT(open[0].start_ns % 2 == 1 && open[0].start_ns >= latest_start);
            latest_start = open[0].start_ns;
            begun = (latest_start + 1) / 2;
            ended = begun - 1;
        }
        RL_ASSERT(here.cells[SHM_CELL_STARTS] >= begun && here.cells[SHM_CELL_ENDS] >= ended);
    }

    void check()
    {
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == CALLS_MADE);
        RL_ASSERT(here.cells[SHM_CELL_ENDS] == CALLS_MADE);
        RL_ASSERT(here.cells[SHM_CALLS_BUCKETS] == CALLS_MADE);
    }
};

/* Two series of calls that take turns in one slot: whose call it is, and since when, belong together. */
struct reusing : scenario<reusing> {
    static const uint16_t type = SHM_TYPE_CALLS;
    shm_series other;

    void before()
    {
        scenario::before();
        other = here.series;
        here.define(here.series);
        here.define(other);
        here.pass();
    }

    void emit()
    {
        for (unsigned i = 0; i < 3; i++) {
            shm_call call = {};
            shm_series *series = i % 2 ? &other : &here.series;
            shm_emit_call_start(&here.producer, series, &call);
            shm_emit_call_end(&here.producer, series, &call, NULL);
        }
    }

    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        RL_ASSERT(n <= 1);
        if (n == 1)
            RL_ASSERT(open[0].series == (open[0].start_ns / 2) % 2 + 1);
        here.pass();
    }

    void check() { RL_ASSERT(here.cells[SHM_CELL_ENDS] == 3); }
};

/* Described calls in one slot: a description comes wholly, with its own call, or not at all. */
struct describing : scenario<describing> {
    static const uint16_t type = SHM_TYPE_CALLS;
    static const unsigned CALLS_MADE = 2;

    void before()
    {
        scenario::before();
        here.define(here.series);
        here.pass();
    }

    void emit()
    {
        for (unsigned i = 0; i < CALLS_MADE; i++) {
            shm_call call = {};
            shm_emit_call_start(&here.producer, &here.series, &call);
            shm_trace trace = {};
            trace.span[0] = (uint8_t)call.start_ns;
            shm_describe_call(&here.producer, &call, (uint32_t)call.start_ns, &trace);
            shm_emit_call_end(&here.producer, &here.series, &call, NULL);
        }
    }

    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        if (n == 1) {
            RL_ASSERT(open[0].timeout_ms == 0 || open[0].timeout_ms == open[0].start_ns);
            RL_ASSERT(open[0].trace.span[0] == open[0].timeout_ms);
        }
    }

    void check() {}
};

/* A gauge is read where it is, once there is a write to it; before that it is 0. */
struct gauging : scenario<gauging> {
    static const uint16_t type = SHM_TYPE_GAUGE;

    void emit()
    {
        shm_emit_gauge(&here.producer, &here.series, 3.0, false, true);
        shm_emit_gauge(&here.producer, &here.series, 4.0, false, true);
    }

    void look()
    {
        shm_gauge_copy gauge;
        here.pass();
        if (shm_drain_gauges(&here.drain, 1, &gauge, 1) == 1)
            RL_ASSERT(gauge.stamp_ns > 0 ? gauge.value == 3.0 || gauge.value == 4.0
                                         : gauge.value == 0.0);
    }

    void check() {}
};

/* Observed totals: 1; then a generation of 3, later 4; then one of 2. Between two generations it is
 * 0. No total is ever seen with the start of another generation. */
struct observing : scenario<observing> {
    static const uint16_t type = SHM_TYPE_OBSERVED;
    static const unsigned LOOKS = 4;
    uint64_t starts_ns[2];

    void emit()
    {
        starts_ns[0] = 101, starts_ns[1] = 201;
        shm_emit_total(&here.producer, &here.series, 1.0);
        now_ns = 100;
        shm_emit_generation(&here.producer, &here.series, 3.0);
        shm_emit_total(&here.producer, &here.series, 4.0);
        now_ns = 200;
        shm_emit_generation(&here.producer, &here.series, 2.0);
    }

    void look()
    {
        shm_observed_copy found;
        here.pass();
        if (shm_drain_observed(&here.drain, 1, &found, 1) == 0)
            return;
        if (found.start_ns == SHM_START_UNKNOWN)
            RL_ASSERT(found.total == 0.0 || found.total == 1.0);
        else if (found.start_ns == starts_ns[0])
            RL_ASSERT(found.total == 0.0 || found.total == 3.0 || found.total == 4.0);
        else
            RL_ASSERT(found.start_ns == starts_ns[1] && (found.total == 0.0 || found.total == 2.0));
    }

    void check()
    {
        shm_observed_copy found;
        RL_ASSERT(shm_drain_observed(&here.drain, 1, &found, 1) == 1);
        RL_ASSERT(found.total == 2.0 && found.start_ns == starts_ns[1]);
    }
};

/* The first total of all is never seen as 0. */
struct observing_first : scenario<observing_first> {
    static const uint16_t type = SHM_TYPE_OBSERVED;

    void emit() { shm_emit_total(&here.producer, &here.series, 1.0); }

    void look()
    {
        shm_observed_copy found;
        here.pass();
        if (shm_drain_observed(&here.drain, 1, &found, 1) == 1)
            RL_ASSERT(found.total == 1.0);
    }

    void check() {}
};

/* A total that has waited for a larger lane goes back into this one: neither is it ever seen as 0. */
struct settling_total : scenario<settling_total> {
    static const uint16_t type = SHM_TYPE_OBSERVED;
    memory apart;
    shm_producer waiting = {};

    void emit()
    {
        waiting.lane = apart.format(0);
        waiting.lane.cells[SHM_CELL_TOTAL].store(shm_bits(1.0), rl::mo_relaxed, RL_INFO);
        waiting.lane.cells[SHM_CELL_START].store(SHM_START_UNKNOWN, rl::mo_relaxed, RL_INFO);
        shm_define_here(&here.producer, &here.series);
        shm_settling settling = {&here.producer, &waiting};
        shm_settle_cells(&settling, &here.series, 0);
    }

    void look()
    {
        shm_observed_copy found;
        here.pass();
        if (shm_drain_observed(&here.drain, 1, &found, 1) == 1)
            RL_ASSERT(found.total == 1.0);
    }

    void check() {}
};

/* From the private lane into the one that the collector has made, with a call that is open. */
struct moving : scenario<moving> {
    static const uint16_t type = SHM_TYPE_CALLS;
    static const unsigned LOOKS = 12; /* a move is many stores */
    memory apart;
    shm_lane to;
    shm_call call = {};

    void before()
    {
        to = here.shared.format(RECORDS);
        here.begin(type, apart.format(0));
        here.open(to);
        here.define(here.series);
        shm_emit_call_start(&here.producer, &here.series, &call);
    }

    void emit()
    {
        RL_ASSERT(shm_producer_move(&here.producer, &to));
        shm_emit_call_end(&here.producer, &here.series, &call, NULL);
    }

    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        here.pass();
        if (n > 0)
            RL_ASSERT(open[0].start_ns == 1);
        RL_ASSERT(here.cells[SHM_CELL_STARTS] >= n);
        RL_ASSERT(here.cells[SHM_CELL_STARTS] >= here.cells[SHM_CELL_ENDS]);
    }

    void check()
    {
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == 1 && here.cells[SHM_CELL_ENDS] == 1);
    }
};

/* The same with nothing but adds: what shows that they came is one number of their own. */
struct moving_adds : rl::test_suite<moving_adds, 2> {
    static const unsigned LOOKS = 8;
    node here;
    memory apart;
    shm_lane to;

    void before()
    {
        to = here.shared.format(RECORDS);
        here.begin(SHM_TYPE_COUNTER, apart.format(0));
        here.open(to);
        shm_emit_add(&here.producer, &here.series, 4.0);
    }

    void thread(unsigned who)
    {
        if (who == EMITTER)
            RL_ASSERT(shm_producer_move(&here.producer, &to));
        else
            for (unsigned i = 0; i < LOOKS; i++)
                here.pass();
    }

    void after()
    {
        here.pass();
        RL_ASSERT(shm_value(here.cells[0]) == 4.0);
        shm_drain_close(&here.drain);
    }
};

/* From one lane into the next, of calls: who has seen that the old lane names the new one finds all that
 * was recorded in the old one, and the state in the new one. */
struct replacing : rl::test_suite<replacing, 2> {
    static const unsigned LOOKS = 12;
    node here, next;
    memory apart;
    shm_producer waiting;
    shm_series *by_id[2][4];
    shm_lane to;
    shm_call call = {};

    void before()
    {
        here.begin(SHM_TYPE_CALLS, here.shared.format(RECORDS));
        here.open(here.producer.lane);
        memset(by_id, 0, sizeof by_id);
        here.producer.by_id = by_id[0];
        here.producer.n_by_id = 4;
        to = next.shared.format(RECORDS);
        to.dictionary = next.shared.private_dictionary;
        to.lane_id = 2;
        next.open(to);
        waiting = {};
        waiting.side = 1;
        waiting.by_id = by_id[1];
        waiting.n_by_id = 4;
        shm_producer_begin(&waiting, &(const shm_lane &)apart.format(0), 2);
    }

    void thread(unsigned who)
    {
        if (who == EMITTER)
            emit();
        else
            for (unsigned i = 0; i < LOOKS; i++)
                look();
    }

    void emit()
    {
        shm_emit_call_start(&here.producer, &here.series, &call);
        RL_ASSERT(shm_producer_replace(&here.producer, &waiting, &to));
        shm_emit_call_end(&here.producer, &here.series, &call, NULL);
    }

    void look()
    {
        bool has_moved = shm_drain_moved_to(&here.drain) == 2;
        here.pass();
        if (!has_moved)
            return;
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == 1);
        next.pass_as(here.series);
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&next.drain, open, CALLS);
        next.pass_as(here.series);
        RL_ASSERT(n == 0 ? next.cells[SHM_CELL_ENDS] == 1 : open[0].start_ns == 1);
    }

    void after()
    {
        here.pass();
        next.pass_as(here.series);
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == 1 && here.cells[SHM_CELL_ENDS] == 0);
        RL_ASSERT(next.cells[SHM_CELL_STARTS] == 0 && next.cells[SHM_CELL_ENDS] == 1);
        shm_drain_close(&here.drain);
        shm_drain_close(&next.drain);
    }
};

/* There is no larger lane: what waited goes back into the lane. */
template <typename derived> struct settles : rl::test_suite<derived, 2> {
    node here;
    memory apart;
    shm_producer waiting;
    shm_series *by_id[2][4];

    void before()
    {
        derived *self = static_cast<derived *>(this);
        here.begin(derived::type, here.shared.format(RECORDS));
        here.open(here.producer.lane);
        waiting = {};
        memset(by_id, 0, sizeof by_id);
        waiting.side = 1;
        waiting.by_id = by_id[1];
        waiting.n_by_id = 4;
        shm_lane lane = apart.format(0);
        shm_producer_begin(&waiting, &lane, 2);
        self->begin_in_lane();
        here.producer.waiting = &waiting;
        RL_ASSERT(shm_define_here(&waiting, &here.series));
        if (derived::type == SHM_TYPE_CALLS)
            RL_ASSERT(shm_take_cells(&waiting, &here.series) != SHM_NO_CELLS);
        self->wait();
    }

    void begin_in_lane() {}

    void thread(unsigned who)
    {
        derived *self = static_cast<derived *>(this);
        if (who == EMITTER)
            shm_settle(&here.producer, &waiting);
        else
            for (unsigned i = 0; i < derived::LOOKS; i++)
                self->look();
    }

    void after()
    {
        here.pass();
        static_cast<derived *>(this)->check();
        shm_drain_close(&here.drain);
    }
};

/* A call that has ended, and one that is open. */
struct settling_calls : settles<settling_calls> {
    static const uint16_t type = SHM_TYPE_CALLS;
    static const unsigned LOOKS = 3;
    shm_call call = {};

    void wait()
    {
        shm_call ended = {};
        shm_put_call_start(&here.producer, &waiting, &here.series, &ended);
        shm_put_call_end(&here.producer, &waiting, &here.series, &ended, NULL);
        shm_put_call_start(&here.producer, &waiting, &here.series, &call);
    }

    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        here.pass();
        RL_ASSERT(n == 0 || (open[0].start_ns == call.start_ns &&
                             here.cells[SHM_CELL_STARTS] == 2));
        RL_ASSERT(here.cells[SHM_CELL_STARTS] >= here.cells[SHM_CELL_ENDS]);
    }

    void check()
    {
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == 2 && here.cells[SHM_CELL_ENDS] == 1);
    }
};

/* The end of a call that the lane lists. */
struct settling_end : settles<settling_end> {
    static const uint16_t type = SHM_TYPE_CALLS;
    static const unsigned LOOKS = 4;
    shm_call call = {};

    void begin_in_lane()
    {
        here.define(here.series);
        shm_emit_call_start(&here.producer, &here.series, &call);
        here.pass();
    }

    void wait() { shm_put_call_end(&here.producer, &waiting, &here.series, &call, NULL); }

    /* A call that is listed no more has ended. */
    void look()
    {
        shm_open_call_copy open[CALLS];
        uint32_t n = shm_drain_calls(&here.drain, open, CALLS);
        here.pass();
        RL_ASSERT(n == 1 || here.cells[SHM_CELL_ENDS] == 1);
    }

    void check()
    {
        RL_ASSERT(here.cells[SHM_CELL_STARTS] == 1 && here.cells[SHM_CELL_ENDS] == 1);
    }
};

struct settling_adds : settles<settling_adds> {
    static const uint16_t type = SHM_TYPE_COUNTER;
    static const unsigned LOOKS = 3;

    void wait() { shm_put_add(&waiting, &here.series, 4.0); }
    void look() { here.pass(); }
    void check() { RL_ASSERT(shm_value(here.cells[0]) == 4.0); }
};

struct settling_gauge : settles<settling_gauge> {
    static const uint16_t type = SHM_TYPE_GAUGE;
    static const unsigned LOOKS = 4;

    void wait() { shm_put_gauge(&waiting, &here.series, 3.0, false, true); }

    void look()
    {
        shm_gauge_copy gauge;
        here.pass();
        if (shm_drain_gauges(&here.drain, 1, &gauge, 1) == 1)
            /* It was made, or it was set: in a lane whose gauges were not written yet. */
            RL_ASSERT(gauge.value == 3.0 ? gauge.stamp_ns > 0
                                         : gauge.value == 0.0 && gauge.stamp_ns == 0);
    }

    void check()
    {
        shm_gauge_copy gauge;
        RL_ASSERT(shm_drain_gauges(&here.drain, 1, &gauge, 1) == 1 && gauge.value == 3.0);
    }
};

/* The collector tells the emitter something, twice, while it looks. */
struct telling : scenario<telling> {
    static const uint16_t type = SHM_TYPE_COUNTER;
    static const unsigned LOOKS = 2;
    model::plain<int> words[NOTICES];
    unsigned told = 0;

    void before()
    {
        scenario<telling>::before();
        for (auto &word : words)
            word = 0;
        notices = words;
        notices_bytes = here.shared.header.notices.bytes;
    }

    void emit()
    {
        unsigned char heard[SHM_NOTICES_BYTES];
        uint32_t from = 0;
        for (int i = 0; i < 3; i++) {
            uint32_t n = shm_notices_copy(&here.shared.header, from, heard);
            RL_ASSERT(n % NOTICE_BYTES == 0);
            for (uint32_t at = 0; at < n; at += NOTICE_BYTES)
                RL_ASSERT(heard[at] == (from + at) / NOTICE_BYTES + 1);
            from += n;
        }
    }

    void look()
    {
        unsigned char notice[NOTICE_BYTES] = {(unsigned char)++told};
        RL_ASSERT(shm_notices_append(&here.shared.header, notice, NOTICE_BYTES));
    }

    void check() { RL_ASSERT(shm_notices_end(&here.shared.header) == 2 * NOTICE_BYTES); }
};

int main(int count, char **words)
{
    const std::map<std::string, bool (*)(rl::test_params &)> scenarios = {
        {"counting", rl::simulate<counting>}, {"adding", rl::simulate<adding>},
        {"calling", rl::simulate<calling>},   {"reusing", rl::simulate<reusing>},
        {"describing", rl::simulate<describing>},
        {"gauging", rl::simulate<gauging>},   {"moving", rl::simulate<moving>},
        {"moving_adds", rl::simulate<moving_adds>}, {"replacing", rl::simulate<replacing>},
        {"observing", rl::simulate<observing>},
        {"observing_first", rl::simulate<observing_first>},
        {"settling_total", rl::simulate<settling_total>},
        {"settling_calls", rl::simulate<settling_calls>},
        {"settling_end", rl::simulate<settling_end>},
        {"settling_adds", rl::simulate<settling_adds>},
        {"settling_gauge", rl::simulate<settling_gauge>},
        {"telling", rl::simulate<telling>},
    };
    rl::test_params how;
    if (count != 3 && count != 5)
        return 2;
    how.iteration_count = std::stoul(words[2]);
    how.progress_stream = &std::cerr;
    how.progress_output_period = 3600;
    if (count == 5) {
        model::weakened_function = words[3];
        model::weakened_object = words[4];
    }
    return scenarios.at(words[1])(how) ? 0 : 1;
}

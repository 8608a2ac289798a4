/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csrc/drain/ is the collecting half's end of a lane: this header moves records into cells;
 * totals.h takes what lanes add up themselves; entries.c and state.c read dictionary, open calls,
 * gauges and observed totals; scale.h, exemplars.h, spans.h and failures.h are where values,
 * exemplars, spans and failed calls go; undo.h, ledger.h and recovery.h bring lane and store back to whole events after a kill;
 * guard.h and contained.h survive a file that is cut short; file.h and watch.h ask the kernel about
 * it. They include csrc/lane/ and nothing of the emitting half.
 *
 * Draining: moving records out of a lane into the store's cells.
 *
 * The drain trusts nothing. Whatever an emitter can write is copied before it is checked and
 * checked before it is used; a lane that breaks the contract yields a reason and is read no more.
 *
 * It knows neither names nor labels: new dictionary entries are handed to the caller, who binds
 * each series to cells of the store and from then on only sees numbers change.
 *
 * Concurrency: one thread at a time per lane. Progress: a pass is bounded by the ring's capacity.
 */
#ifndef SHM_DRAIN_H
#define SHM_DRAIN_H

#include <stdbool.h>

#include "exemplars.h"
#include "failures.h"
#include "../lane/lane.h"
#include "../lane/notices.h"
#include "ledger.h"
#include "../lane/ring.h"
#include "scale.h"
#include "spans.h"
#include "../lane/spill.h"
#include "undo.h"

enum shm_drained {
    SHM_DRAINED = 0,
    SHM_DRAIN_ENTRIES = 1, /* the dictionary has grown: read the entries, bind them, drain again */
    SHM_DRAIN_NO_MEMORY = 2,
    SHM_DRAINED_FAILURE = 11, /* within a pass: a call has ended with an exception */
    /* from here on: the lane breaks the contract */
    SHM_BROKEN_HEAD = 3,       /* more records than the ring holds */
    SHM_BROKEN_DICTIONARY = 4, /* end outside the dictionary, or moved back */
    SHM_BROKEN_ENTRY = 5,      /* size, kind or id of an entry */
    SHM_BROKEN_KIND = 6,       /* unknown kind of record, or one that does not fit its series */
    SHM_BROKEN_SERIES = 7,     /* id that the dictionary does not have */
    SHM_BROKEN_VALUE = 8,      /* not finite, or negative for a counter */
    SHM_BROKEN_CELLS = 9,      /* totals that went back */
    SHM_BROKEN_CUT_SHORT = 10, /* the file became shorter: see contained.h */
};

/* The target of a series: where its events go. */
struct shm_target {
    uint64_t *cells; /* in the store; NULL: counted as unbound and left alone */
    const struct shm_scale *scale; /* of a histogram or calls, in the caller's memory */
    uint32_t n_bounds;  /* of the lane's own definition */
    uint32_t lane_cell; /* its cells in the lane, or SHM_NO_CELLS */
    uint32_t next_counter; /* id of the lane's next counter; 0: of none */
    uint16_t type;
    bool removed; /* its lane has an entry that says so */
};

/* Cells of the store that count events by their fate: counters, that is doubles. NULL: not
 * counted. */
struct shm_tally {
    uint64_t *events[SHM_KINDS]; /* recorded, by kind; 0: of a kind that nobody knows */
    uint64_t *unbound;           /* of series that are bound to nothing */
    uint64_t *spilled;
    uint64_t *overflowed; /* counted without their labels */
    uint64_t *dropped[SHM_DROPS];
};

struct shm_drain {
    struct shm_lane lane;
    struct shm_ring_reader ring;
    uint64_t spilled;         /* as of the last fold; as is added */
    uint64_t added;
    uint32_t dictionary_read; /* bytes */
    uint32_t families;
    uint32_t n_targets;       /* targets[0] is unused: ids start at 1 */
    uint32_t room;
    uint32_t first_counter;   /* id of one; 0: there is none */
    uint32_t last_counter;
    struct shm_target *targets;
    uint32_t cells_used;
    struct shm_tally tally; /* nothing, until the caller fills it in */
    uint64_t taken[SHM_KINDS]; /* by this pass, not yet in the tally */
    struct shm_exemplars *exemplars; /* NULL: none are kept */
    struct shm_spans *spans;         /* NULL: none are taken */
    struct shm_failures *failures;   /* NULL: none are kept */
    struct shm_ledger *ledger;       /* of this lane; the emitter does not have it */
    /* the store: its undo entry, its cells */
    struct shm_undo *undo;
    uint64_t *cells;
    uint64_t n_cells;
};

struct shm_open_call_copy {
    uint64_t start_ns;
    uint32_t series;
    uint32_t slot;
    uint32_t timeout_ms;    /* 0: not known */
    uint32_t zero;
    struct shm_trace trace; /* zero: it belongs to none */
};

struct shm_gauge_copy {
    uint32_t series;
    uint32_t zero;
    double value;
    uint64_t stamp_ns;
};

struct shm_observed_copy {
    uint32_t series;
    uint32_t zero;
    double total;      /* finite, not negative */
    uint64_t start_ns; /* of its generation; SHM_START_UNKNOWN: nobody has said */
};

/* Opens a drain at the tail that the lane's consumer line holds. ledger: the lane's. cells and undo
 * are the store's. */
enum shm_attach shm_drain_open(struct shm_drain *drain, void *base, uint64_t size_bytes,
                               struct shm_ledger *ledger, struct shm_undo *undo, uint64_t *cells,
                               uint64_t n_cells);
void shm_drain_close(struct shm_drain *drain);

/* Makes one pass: records, then totals. On SHM_DRAIN_ENTRIES nothing was folded yet. */
enum shm_drained shm_drain_pass(struct shm_drain *drain);

/* Returns SHM_DRAINED, or SHM_DRAIN_ENTRIES if there are entries to be read first. */
enum shm_drained shm_drain_all_read(const struct shm_drain *drain);

/* Copies the next unread entry into buffer (SHM_ENTRY_MAX_BYTES) and its checked header into
 * *entry. SHM_DRAINED with size_bytes 0: there is none. An entry for a series has to be answered
 * with shm_drain_bind before the next one is read, and one for a removal with shm_drain_remove. */
enum shm_drained shm_drain_entry(struct shm_drain *drain, struct shm_entry *entry,
                                 unsigned char *buffer);

/* Binds the next series id. type and n_bounds are those of the lane's own definition: they decide
 * which cells of the lane are the series'. scale: how the counts of a histogram or of calls lie in
 * cells, of n_bounds + 1 classic buckets; it must outlive the drain. */
enum shm_drained shm_drain_bind(struct shm_drain *drain, uint16_t type, uint32_t n_bounds,
                                const struct shm_scale *scale, uint64_t *cells);

/* Binds a series anew, from now on: what came before stays where it was counted, or the caller has
 * copied it. Between two passes: the undo entry names no cells then. scale and cells as in
 * shm_drain_bind. Returns false if there is no such series. */
bool shm_drain_rebind(struct shm_drain *drain, uint32_t series, const struct shm_scale *scale,
                      uint64_t *cells);

/* Takes the last of a series whose removal was read, or of an exception of it, and binds it to
 * nothing. The last events of it are those in the ring before the first that the dictionary, as far
 * as it was read, does not explain. */
enum shm_drained shm_drain_remove(struct shm_drain *drain, uint32_t series);

/* Finds the next removal from *at_bytes of the dictionary on, among at most *n_entries: returns the
 * id of the series, and moves both on; 0: there is none. */
uint32_t shm_drain_next_removed(const struct shm_drain *drain, uint32_t *at_bytes,
                                uint64_t *n_entries);

/* Take a gauge or an open call that a dead emitter leaves into a cell of the store, once, however
 * often the collector is killed at it. take_gauge adds a gauge's value; for one that is not finite
 * it adds 1, and the caller gives it the cell of a count of those. abandon counts an open call, and
 * gives its slot back. Return false if there is nothing to take. */
bool shm_drain_take_gauge(struct shm_drain *drain, uint32_t series, uint64_t cell);
bool shm_drain_abandon(struct shm_drain *drain, uint32_t slot, uint64_t cell);

/* Adds to a cell of the store, or to none (SHM_NO_CELL), by how much `now` is more than this
 * report of the ledger says; then the report says `now`. Returns false if there is nothing to add.
 * It happens once, however often the collector is killed at it. */
#define SHM_NO_CELL UINT64_MAX
bool shm_drain_report(struct shm_drain *drain, uint32_t report, uint64_t now, uint64_t cell);
uint64_t shm_drain_reported(const struct shm_drain *drain, uint32_t report);

/* Reports the emitter's own counts: added, spilled, overflowed, and dropped by cause. */
void shm_drain_report_counts(struct shm_drain *drain);

/* Returns the id of the lane in which the emitter goes on; 0: in this one. Then all that it has
 * recorded here is there, and the state is in that lane. */
uint64_t shm_drain_moved_to(const struct shm_drain *drain);

/* Tells the emitter to register anew: this lane is read no more. */
void shm_drain_give_up(struct shm_drain *drain);

/* Appends a notice for the emitter, who will look for it. Returns false if there is no room. */
bool shm_drain_tell(struct shm_drain *drain, const void *notice, uint32_t n_bytes);

/* Lets the emitter look no more, if it has heard all notices. Returns false if it has not. */
bool shm_drain_heard(struct shm_drain *drain);

/* Copies up to n open calls; returns how many. */
uint32_t shm_drain_calls(const struct shm_drain *drain, struct shm_open_call_copy *calls,
                         uint32_t n);

/* Copies the values of up to n gauges, the first with an id >= from_series; returns how many. */
uint32_t shm_drain_gauges(const struct shm_drain *drain, uint32_t from_series,
                          struct shm_gauge_copy *gauges, uint32_t n);

/* Copies up to n observed totals, the first with an id >= from_series; returns how many. */
uint32_t shm_drain_observed(const struct shm_drain *drain, uint32_t from_series,
                            struct shm_observed_copy *totals, uint32_t n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: how much of a lane's own counts the store has already. It is a file beside the lane
 * that only collectors have: an emitter that could write to it could hide that its lane broke the
 * contract, or how much it has lost.
 */
#ifndef SHM_LEDGER_H
#define SHM_LEDGER_H

#include "../lane/layout.h"

enum shm_report {
    SHM_REPORT_SPILLED = 0,     /* of producer.spilled */
    SHM_REPORT_ENTRIES = 1,     /* dictionary entries whose fate has been counted */
    SHM_REPORT_QUARANTINED = 2, /* 1: counted as quarantined */
    SHM_REPORT_RETIRED = 3,     /* 1: counted as retired */
    SHM_REPORT_TAKEN = 4,       /* records taken from the ring and counted by kind */
    SHM_REPORT_OVERFLOWED = 5,  /* of producer.overflowed */
    SHM_REPORT_ADDED = 6,       /* of producer.added */
    SHM_REPORT_ARRIVED = 7,     /* 1: its process has moved here from the lane before */
    SHM_REPORT_DROPPED = 8,     /* and those behind it: of producer.dropped */
    SHM_REPORT_BEFORE = 17,     /* and those behind it: what its process counted in lanes before */
    SHM_REPORTS = 32
};
static_assert(SHM_REPORT_DROPPED + SHM_DROPS <= SHM_REPORT_BEFORE, "a report for every cause");
static_assert(SHM_REPORT_BEFORE + 4 + SHM_DROPS <= SHM_REPORTS, "a report for every count");

/* The most that a report may grow at once: hours of nothing else, at full speed. Beyond that it is
 * no count, and would drown those of all other lanes: a double has no room for both. */
#define SHM_REPORT_MOST (UINT64_C(1) << 40)

/* All zero at first. */
struct shm_ledger {
    _Atomic uint64_t counts[SHM_REPORTS];
};
static_assert(sizeof(struct shm_ledger) == 256, "ledger");

#endif

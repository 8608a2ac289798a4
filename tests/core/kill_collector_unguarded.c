/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same without undo entries. A kill in the middle of an event has to show. */
#include "undo.h"
#define shm_undo_record(undo, cells, plan, tail) shm_plan_apply(plan)
#include "kill_collector.c"
#include "../../csrc/drain.c"
#include "../../csrc/totals.c"
#include "../../csrc/entries.c"
#include "../../csrc/scale.c"
#include "../../csrc/state.c"
#include "../../csrc/recovery.c"

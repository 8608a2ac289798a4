/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same without undo entries. A kill in the middle of an event has to show. */
#include "drain/undo.h"
#define shm_undo_record(undo, cells, plan, tail) shm_plan_apply(plan)
#include "kill_collector.c"
#include "../../../csrc/drain/drain.c"
#include "../../../csrc/drain/totals.c"
#include "../../../csrc/drain/entries.c"
#include "../../../csrc/drain/scale.c"
#include "../../../csrc/drain/state.c"
#include "../../../csrc/drain/recovery.c"

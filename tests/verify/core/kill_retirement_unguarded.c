/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same without undo entries. */
#include "drain/undo.h"
#define shm_undo_state(undo, cells, plan, kind, lane_id, index, seen) shm_plan_apply(plan)
#include "kill_retirement.c"
#include "../../../csrc/drain/drain.c"
#include "../../../csrc/drain/totals.c"
#include "../../../csrc/drain/entries.c"
#include "../../../csrc/drain/scale.c"
#include "../../../csrc/drain/state.c"
#include "../../../csrc/drain/recovery.c"

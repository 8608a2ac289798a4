/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same without undo entries. */
#include "undo.h"
#define shm_undo_state(undo, cells, plan, kind, lane_id, index, seen) shm_plan_apply(plan)
#include "kill_retirement.c"
#include "../../csrc/drain.c"
#include "../../csrc/totals.c"
#include "../../csrc/entries.c"
#include "../../csrc/scale.c"
#include "../../csrc/state.c"
#include "../../csrc/recovery.c"

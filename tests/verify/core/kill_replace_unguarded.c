/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same with a collector that drains a lane before any other names it. */
#define PAIR_DRAINS_ALWAYS
#include "kill_replace.c"
#include "../../../csrc/drain/drain.c"
#include "../../../csrc/drain/totals.c"
#include "../../../csrc/drain/entries.c"
#include "../../../csrc/drain/scale.c"
#include "../../../csrc/drain/state.c"
#include "../../../csrc/drain/recovery.c"

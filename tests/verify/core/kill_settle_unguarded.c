/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same with intents that nobody finishes. */
#include "kill_settle.c"
#include "../../../csrc/drain/drain.c"
#include "../../../csrc/drain/totals.c"
#include "../../../csrc/drain/entries.c"
#include "../../../csrc/drain/scale.c"
#include "../../../csrc/drain/state.c"

bool shm_recover(struct shm_drain *drain)
{
    return drain->undo->kind == SHM_UNDO_NONE;
}

void shm_recover_emitter(struct shm_drain *drain)
{
    (void)drain;
}

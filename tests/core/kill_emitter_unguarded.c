/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same with intents that nobody finishes. */
#include "kill_emitter.c"
#define shm_drain_finish(drain) finish_never(drain)
#include "../../csrc/drain.c"
#undef shm_drain_finish
void shm_drain_finish(struct shm_drain *drain)
{
    (void)drain;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a kill: bringing lane and store back to whole events. A killed collector leaves
 * an undo entry (undo.h), a killed emitter an intent (layout.h).
 */
#ifndef SHM_RECOVERY_H
#define SHM_RECOVERY_H

#include "drain.h"

/* Puts the store's cells back, if a killed collector was folding an event of this lane. Called
 * before the lane's first pass. Returns false if the undo entry is damaged. */
bool shm_recover(struct shm_drain *drain);

/* Does the same after a pass of this drain that was left in its middle. */
void shm_recover_pass(struct shm_drain *drain);

/* Finishes the event that a dead emitter was in the middle of. Called before the lane's last
 * pass. */
void shm_recover_emitter(struct shm_drain *drain);

#endif

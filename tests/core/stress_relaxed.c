/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same stress with every release taken away. ThreadSanitizer has to object. */
#include <stdatomic.h>
#define memory_order_release memory_order_relaxed
#include "shim.c"
#include "stress.c"
#include "../../csrc/drain.c"
#include "../../csrc/totals.c"
#include "../../csrc/entries.c"
#include "../../csrc/scale.c"
#include "../../csrc/state.c"

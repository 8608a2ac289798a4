/* SPDX-License-Identifier: Apache-2.0 */
/* The control: the same stress with every release taken away. ThreadSanitizer has to object. */
#include <stdatomic.h>
#define memory_order_release memory_order_relaxed
#include "shim.c"
#include "stress.c"
#include "../../../csrc/drain/drain.c"
#include "../../../csrc/drain/totals.c"
#include "../../../csrc/drain/entries.c"
#include "../../../csrc/drain/scale.c"
#include "../../../csrc/drain/state.c"

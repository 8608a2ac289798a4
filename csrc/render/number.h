/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as prometheus_client writes them: repr() of the double, but +Inf and -Inf, and an
 * exponent for a positive number with more than six digits before the point.
 *
 * Both functions write at most SHM_TEXT_NUMBER_BYTES and return the end of what they wrote. */
#ifndef SHM_NUMBER_H
#define SHM_NUMBER_H

#include <stdint.h>

enum { SHM_TEXT_NUMBER_BYTES = 24 }; /* -2.2250738585072014e-308 */

/* Writes a number. */
char *shm_text_number(char *out, double value);

/* Writes a count, as the nearest double. */
char *shm_text_count(char *out, uint64_t value);

#endif

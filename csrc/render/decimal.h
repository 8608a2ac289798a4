/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest decimal that reads back as the same double, and of these the closest one,
 * as Python's repr() and Go's strconv print it. Digits only: number.h writes them.
 */
#ifndef SHM_DECIMAL_H
#define SHM_DECIMAL_H

#include <stdint.h>

/* digits * 10^exponent; digits has at most 17 of them and may end in zeros. */
struct shm_decimal {
    uint64_t digits;
    int32_t exponent;
};

/* Returns the shortest decimal. value has to be finite and greater than zero. */
struct shm_decimal shm_decimal_shortest(double value);

#endif

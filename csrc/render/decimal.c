/* SPDX-License-Identifier: Apache-2.0 */
/* After R. Giulietti, "The Schubfach way to render doubles" (2020).
 *
 * All decimals that read back as v = c * 2^q lie in the interval between the midpoints to v's
 * neighbours. With k = floor(log10(width of the interval)), a grid of multiples of 10^k has at
 * least one point inside, and the ten times coarser grid at most one. So the shortest decimal is
 * one of four: the two neighbours of v on the coarse grid, then the two on the fine one.
 *
 * v and both ends of the interval are compared in quarters of 10^k, as integers whose last bit
 * also stands for everything cut off below it ("round to odd"), which keeps every comparison exact.
 */
#include "decimal.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

__extension__ typedef unsigned __int128 shm_u128;

/* 2^-1074, the least exponent of a double, needs 10^324; 2^971, the greatest, needs 10^-292. */
enum { POWER_MIN = -292, POWER_MAX = 324, POWERS = POWER_MAX - POWER_MIN + 1 };

/* The leading 128 bits of 10^k, rounded up. */
struct power {
    uint64_t high, low;
};

static struct power powers[POWERS];
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

/* 10^k and 5^k have the same leading bits. 5^324 has 753 bits, and of 2^1023 / 5^292 345 are left:
 * one width serves both. Least word first. */
enum { BIG_WORDS = 16 };

/* Multiplies big by factor, which it has room for. */
static void big_multiply(uint64_t *big, uint64_t factor)
{
    uint64_t carry = 0;
    for (int i = 0; i < BIG_WORDS; i++) {
        shm_u128 product = (shm_u128)big[i] * factor + carry;
        big[i] = (uint64_t)product;
        carry = (uint64_t)(product >> 64);
    }
    assert(carry == 0);
}

/* Divides big, rounding down; dividing again gives the same as dividing once by the product. */
static void big_divide(uint64_t *big, uint64_t divisor)
{
    uint64_t rest = 0;
    for (int i = BIG_WORDS - 1; i >= 0; i--) {
        shm_u128 part = (shm_u128)rest << 64 | big[i];
        big[i] = (uint64_t)(part / divisor);
        rest = (uint64_t)(part % divisor);
    }
}

/* Returns the leading 128 bits of big, rounded up. exact: no division has cut off any of it. */
static struct power big_leading(const uint64_t *big, bool exact)
{
    int top = BIG_WORDS - 1;
    while (big[top] == 0)
        top--;
    assert(top >= 2);
    int shift = __builtin_clzll(big[top]);
    uint64_t words[3];
    for (int i = 0; i < 3; i++) {
        uint64_t below = top - i > 0 ? big[top - i - 1] : 0;
        words[i] = shift == 0 ? big[top - i] : big[top - i] << shift | below >> (64 - shift);
    }
    bool above = !exact || words[2] != 0;
    for (int i = top - 3; i >= 0; i--)
        above = above || big[i] != 0;
    shm_u128 leading = ((shm_u128)words[0] << 64 | words[1]) + above;
    return (struct power){(uint64_t)(leading >> 64), (uint64_t)leading};
}

static void powers_compute(void)
{
    uint64_t big[BIG_WORDS] = {[2] = 1};
    for (int k = 0; k <= POWER_MAX; k++) {
        powers[k - POWER_MIN] = big_leading(big, true);
        if (k < POWER_MAX)
            big_multiply(big, 5);
    }
    memset(big, 0, sizeof big);
    big[BIG_WORDS - 1] = UINT64_C(1) << 63;
    for (int k = -1; k >= POWER_MIN; k--) {
        big_divide(big, 5);
        powers[k - POWER_MIN] = big_leading(big, false);
    }
}

/* Returns floor(n / 2^bits), also of a negative n. */
static int32_t floor_shift(int32_t n, int bits)
{
    return n >= 0 ? n >> bits : -((-n + (1 << bits) - 1) >> bits);
}

/* Returns floor(log10(2^q)), or floor(log10(3/4 * 2^q)); right for |q| <= 1500. */
static int32_t log10_of_power_of_2(int32_t q, bool three_quarters)
{
    return floor_shift(q * 1262611 - (three_quarters ? 524031 : 0), 22);
}

/* Returns floor(log2(10^k)); right for |k| <= 1233. */
static int32_t log2_of_power_of_10(int32_t k)
{
    return floor_shift(k * 1741647, 19);
}

/* Returns the upper 64 bits of power * factor, the last one set also if there is anything below it
 * that cannot come from the power's own rounding. */
static uint64_t multiply_to_odd(struct power power, uint64_t factor)
{
    shm_u128 low = (shm_u128)power.low * factor;
    shm_u128 high = (shm_u128)power.high * factor + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

struct shm_decimal shm_decimal_shortest(double value)
{
    pthread_once(&powers_once, powers_compute);

    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int32_t biased = (int32_t)(bits >> 52 & 0x7ff);
    uint64_t c = biased ? fraction | UINT64_C(1) << 52 : fraction;
    int32_t q = (biased ? biased : 1) - 1075;

    /* Below a power of two the neighbour is only half as far away. */
    bool near_below = fraction == 0 && biased > 1;
    int32_t k = log10_of_power_of_2(q, near_below);
    int32_t shift = q + log2_of_power_of_10(-k) + 1;
    struct power power = powers[-k - POWER_MIN];

    /* A tie is read as the even neighbour: only then do the ends belong to the interval. */
    uint64_t odd = c & 1;
    uint64_t low = multiply_to_odd(power, (4 * c - 2 + near_below) << shift) + odd;
    uint64_t middle = multiply_to_odd(power, 4 * c << shift);
    uint64_t high = multiply_to_odd(power, (4 * c + 2) << shift) - odd;

    uint64_t fine = middle / 4;
    uint64_t coarse = fine / 10;
    if (coarse > 0) {
        bool below = low <= 40 * coarse;
        bool above = 40 * coarse + 40 <= high;
        if (below != above)
            return (struct shm_decimal){coarse + above, k + 1};
    }
    bool below = low <= 4 * fine;
    bool above = 4 * fine + 4 <= high;
    if (below == above)
        above = middle > 4 * fine + 2 || (middle == 4 * fine + 2 && (fine & 1));
    return (struct shm_decimal){fine + above, k};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of families, each in exactly as much memory as it needs, on the heap, where
 * overruns show. */
#ifndef DRAWN_H
#define DRAWN_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "render/columns.h"

static uint64_t state;

/* xorshift64 */
static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Of any number of digits; often 0. */
static uint64_t draw_bits(void)
{
    return draw() % 3 == 0 ? 0 : draw() >> draw() % 64;
}

static void *exactly(size_t n_bytes)
{
    void *memory = malloc(n_bytes);
    assert(memory != NULL || n_bytes == 0);
    return memory;
}

static uint64_t *draw_cells(size_t n)
{
    uint64_t *cells = exactly(n * sizeof *cells);
    for (size_t i = 0; i < n; i++)
        cells[i] = draw_bits();
    return cells;
}

static struct shm_counts_of_rows counts_in(const uint64_t *cells, size_t n_rows, size_t n)
{
    ptrdiff_t row_bytes = (ptrdiff_t)(n * sizeof *cells);
    if (draw() % 2 == 0)
        return (struct shm_counts_of_rows){(const char *)cells, row_bytes, sizeof *cells, n};
    const uint64_t *last = cells + (n_rows - 1) * n;
    return (struct shm_counts_of_rows){(const char *)last, -row_bytes, sizeof *cells, n};
}

static struct shm_column column_in(const uint64_t *cells, int counts)
{
    return (struct shm_column){(const char *)cells, sizeof *cells, counts};
}

/* Some rows', sorted by row and bucket; of rows and buckets that there are not, too. */
static struct shm_exemplars_of_rows draw_exemplars(void)
{
    size_t n = draw() % 20;
    struct shm_exemplar *all = exactly(n * sizeof *all);
    for (size_t i = 0, place = 0; i < n; i++, place += draw() % 3) {
        memset(&all[i], draw() % 3 == 0 ? 0 : 0xa5, sizeof *all);
        all[i].series = place / 9;
        all[i].bucket = (uint32_t)(place % 9);
        all[i].stamp_ns = draw_bits();
    }
    return (struct shm_exemplars_of_rows){all, n};
}

#endif

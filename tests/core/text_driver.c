/* SPDX-License-Identifier: Apache-2.0 */
/* The text core without Python, for the sanitizers.
 *
 *   text_driver numbers           stdin: doubles, 8 bytes each; stdout: a line for each
 *   text_driver families SEED N   renders N random families, each into exactly as much memory as
 *                                 shm_text_bound() asks for, on the heap, where overruns show
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/text.h"

static uint64_t state;

/* xorshift64 */
static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Of any number of digits. */
static uint64_t draw_bits(void)
{
    return draw() >> draw() % 64;
}

static void *exactly(size_t n_bytes)
{
    void *memory = malloc(n_bytes);
    assert(memory != NULL || n_bytes == 0);
    return memory;
}

static void numbers(void)
{
    double value;
    while (fread(&value, sizeof value, 1, stdin) == 1) {
        char *out = exactly(SHM_TEXT_NUMBER_BYTES);
        fwrite(out, 1, (size_t)(shm_text_number(out, value) - out), stdout);
        putchar('\n');
        free(out);
    }
}

/* n + 1 offsets that rise by 0 to 8 bytes, into text of exactly that size. */
static uint64_t *draw_offsets(size_t n, char **text)
{
    uint64_t *offsets = exactly((n + 1) * sizeof *offsets);
    offsets[0] = 0;
    for (size_t i = 0; i < n; i++)
        offsets[i + 1] = offsets[i] + draw() % 9;
    *text = exactly(offsets[n] + 1);
    memset(*text, 'x', offsets[n] + 1);
    return offsets;
}

static struct shm_column draw_column(size_t n, int present, int counts)
{
    uint64_t *cells = exactly(n * sizeof *cells);
    for (size_t i = 0; i < n; i++)
        cells[i] = draw_bits() << (counts ? 0 : draw() % 2 * 12);
    struct shm_column column = {present ? (const char *)cells : NULL, sizeof *cells, counts};
    if (!present)
        free(cells);
    return column;
}

/* Some of each row and bucket, in order. */
static struct shm_exemplars_of_rows draw_exemplars(size_t n_rows, size_t n_les)
{
    struct shm_exemplar *found = exactly(n_rows * n_les * sizeof *found);
    size_t n = 0;
    for (size_t at = 0; at < n_rows * n_les; at++) {
        if (draw() % 3 != 0)
            continue;
        struct shm_exemplar *one = &found[n++];
        *one = (struct shm_exemplar){.series = at / n_les, .bucket = at % n_les};
        uint64_t bits = draw_bits();
        memcpy(&one->value, &bits, sizeof bits);
        one->stamp_ns = draw() % 4 == 0 ? UINT64_MAX : draw_bits();
        memset(&one->trace.id, (int)draw(), sizeof one->trace.id);
        memset(&one->trace.span, draw() % 2 == 0 ? 0 : (int)draw(), sizeof one->trace.span);
    }
    return (struct shm_exemplars_of_rows){found, n};
}

static void family(void)
{
    size_t n_rows = 1 + draw() % 8;
    size_t n_les = 1 + draw() % 8;
    char name[] = "a_name_of_a_family";
    char *labels;
    char *le_text;
    uint64_t *parts = draw_offsets(2 * n_rows, &labels);
    uint64_t *offsets = draw_offsets(n_les, &le_text);
    struct shm_text_family it = {name, draw() % sizeof name, draw() % 2 == 0, labels, parts, n_rows};
    struct shm_text_les les = {le_text, offsets, n_les};

    int backwards = draw() % 2 == 0;
    uint64_t *cells = exactly(n_rows * n_les * sizeof *cells);
    for (size_t i = 0; i < n_rows * n_les; i++)
        cells[i] = draw_bits();
    ptrdiff_t row_bytes = (ptrdiff_t)(n_les * sizeof *cells);
    struct shm_counts_of_rows buckets = {
        (const char *)(backwards ? cells + (n_rows - 1) * n_les : cells),
        backwards ? -row_bytes : row_bytes,
        sizeof *cells,
        n_les,
    };
    struct shm_column values = draw_column(n_rows, 1, draw() % 2 == 0);
    struct shm_column sums = draw_column(n_rows, draw() % 2 == 0, 0);
    struct shm_column created = draw_column(n_rows, draw() % 2 == 0, 0);

    struct shm_exemplars_of_rows exemplars = draw_exemplars(n_rows, n_les);

    size_t bound = shm_text_bound(&it, n_les + 3, &les, exemplars);
    char *out = exactly(bound);
    size_t written = (size_t)(
        shm_text_histograms(out, &it, &les, buckets, sums, created, exemplars) - out);
    assert(written <= bound);
    fwrite(out, 1, written, stdout);
    free(out);

    bound = shm_text_bound(&it, 2, NULL, exemplars);
    out = exactly(bound);
    written = (size_t)(shm_text_scalars(out, &it, "_created", values, created, exemplars) - out);
    assert(written <= bound);
    fwrite(out, 1, written, stdout);
    free(out);

    size_t n_bytes = draw() % 16;
    char *value = exactly(n_bytes);
    memset(value, "\\\"\nx"[draw() % 4], n_bytes);
    out = exactly(2 * n_bytes);
    assert((size_t)(shm_text_escape(out, value, n_bytes) - out) <= 2 * n_bytes);
    free(out);
    free(value);

    free((void *)(uintptr_t)exemplars.first);
    free((void *)(uintptr_t)values.first);
    free((void *)(uintptr_t)sums.first);
    free((void *)(uintptr_t)created.first);
    free(cells);
    free(parts);
    free(labels);
    free(offsets);
    free(le_text);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "numbers") == 0) {
        numbers();
        return 0;
    }
    if (argc == 4 && strcmp(argv[1], "families") == 0) {
        state = strtoull(argv[2], NULL, 10) | 1;
        for (unsigned long n = strtoul(argv[3], NULL, 10); n > 0; n--)
            family();
        return 0;
    }
    fprintf(stderr, "usage: text_driver numbers | families SEED N\n");
    return 2;
}

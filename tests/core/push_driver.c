/* SPDX-License-Identifier: Apache-2.0 */
/* The writers for destinations without Python, for the sanitizers.
 *
 *   push_driver SEED N   writes N random families as lines, as remote write and as OTLP, each piece
 *                        into exactly as much memory as it is said to need. Of every other family
 *                        the numbers are the longest that there are.
 */
#include <stdio.h>

#include "drawn.h"
#include "render/lines.h"
#include "render/otlp.h"
#include "render/remote_write.h"

enum { MOST_ROWS = 8 };

/* A random family. */
struct drawn {
    size_t n_rows;
    char *labels;
    uint64_t *ends; /* 3 * n_rows + 1, of which lines and points take every third */
    uint64_t *row_ends;
    uint64_t *numbers;
    uint64_t *zeros;
    uint64_t *buckets;
    uint64_t *columns;
    double *bounds;
    size_t n_buckets;
    struct shm_native native;
    struct shm_exemplars_of_rows exemplars;
};

static void take(const char *out, const char *end, size_t n_bytes)
{
    assert((size_t)(end - out) <= n_bytes);
    fwrite(out, 1, (size_t)(end - out), stdout);
}

static void write_lines(const struct drawn *it)
{
    char text[64];
    memset(text, 'x', sizeof text);
    struct shm_line line = {{text, draw() % 64},  {text, draw() % 8},     {text, draw() % 8},
                            {text, draw() % 8}, (int)(draw() % 2), (int)(draw() % 2)};
    uint64_t rows[MOST_ROWS];
    struct shm_labelled labelled = {it->labels, it->row_ends, NULL, it->n_rows};
    if (draw() % 2 == 0) {
        labelled.n = draw() % MOST_ROWS;
        for (size_t i = 0; i < labelled.n; i++)
            rows[i] = draw() % it->n_rows;
        labelled.rows = rows;
    }
    for (size_t from = 0; from < labelled.n;) {
        size_t n_bytes;
        size_t to = shm_lines_reach(&line, &labelled, from, draw() % 1000, &n_bytes);
        assert(to > from);
        char *out = exactly(n_bytes);
        struct shm_column values = column_in(it->numbers, draw() % 2 == 0);
        take(out, shm_lines_write(out, &line, &labelled, values, from, to), n_bytes);
        free(out);
        from = to;
    }
}

static void write_series(const struct drawn *it)
{
    struct shm_remote_family family = {
        {"name", 4}, {"le", draw() % 3}, it->labels, it->ends, draw_bits(), it->exemplars,
        (int)(draw() % 2), {"metadata", draw() % 9}, column_in(it->numbers, draw() % 2 == 0)};
    if (draw() % 2 == 0)
        family.created.first = NULL;
    int is_native = draw() % 2 == 0;
    for (size_t from = 0; from < it->n_rows;) {
        size_t n_bytes;
        size_t to = shm_remote_reach(&family, is_native ? &it->native : NULL, from, it->n_rows,
                                     draw() % 1000, &n_bytes);
        assert(to > from);
        char *out = exactly(n_bytes);
        struct shm_column values = column_in(it->numbers, 0);
        char *end = is_native
                        ? shm_remote_histograms(out, &family, &it->native, values, from, to)
                        : shm_remote_samples(out, &family, values, draw() % 9, from, to);
        take(out, end, n_bytes);
        free(out);
        from = to;
    }
}

static void write_points(const struct drawn *it)
{
    struct shm_column values = column_in(it->numbers, 0);
    struct shm_points points = {it->labels, it->row_ends, draw_bits(),
                                column_in(draw() % 2 == 0 ? NULL : it->numbers, draw() % 2 == 0),
                                it->exemplars};
    struct shm_bounded bounded = {it->bounds, counts_in(it->buckets, it->n_rows, it->n_buckets),
                                  values};
    struct shm_exponential exponential = {&it->native, values};
    unsigned kind = (unsigned)(draw() % 3);
    size_t n_buckets[] = {0, it->n_buckets, it->native.counts.n};
    for (size_t from = 0; from < it->n_rows;) {
        size_t n_bytes;
        size_t to = shm_points_reach(&points, n_buckets[kind], from, it->n_rows, draw() % 1000,
                                     &n_bytes);
        assert(to > from);
        char *out = exactly(n_bytes);
        char *end = out;
        if (kind == 0)
            end = shm_points_numbers(out, &points, values, from, to);
        else if (kind == 1)
            end = shm_points_bounded(out, &points, &bounded, from, to);
        else
            end = shm_points_exponential(out, &points, &exponential, from, to);
        take(out, end, n_bytes);
        free(out);
        from = to;
    }
}

static void split(void)
{
    size_t n_bytes = 1 + draw() % 500;
    char *text = exactly(n_bytes);
    for (size_t i = 0; i < n_bytes; i++)
        text[i] = draw() % 20 == 0 ? '\n' : 'x';
    text[n_bytes - 1] = '\n';
    for (size_t at = 0; at < n_bytes;) {
        size_t n_lines, most = draw() % 100;
        size_t n = shm_lines_datagram(text + at, n_bytes - at, most, &n_lines);
        assert(at + n < n_bytes && text[at + n] == '\n');
        assert(n_lines == 1 || n <= most);
        at += n + 1;
    }
    free(text);
}

static uint64_t *ends_of(size_t n)
{
    uint64_t *ends = exactly((n + 1) * sizeof *ends);
    ends[0] = 0;
    for (size_t i = 0; i < n; i++)
        ends[i + 1] = ends[i] + draw() % 200;
    return ends;
}

static void family(int is_longest)
{
    struct drawn it;
    it.n_rows = 1 + draw() % MOST_ROWS;
    it.n_buckets = 1 + draw() % 8;
    size_t n_columns = draw() % 400;
    it.ends = ends_of(3 * it.n_rows);
    it.row_ends = exactly((it.n_rows + 1) * sizeof *it.row_ends);
    for (size_t i = 0; i <= it.n_rows; i++)
        it.row_ends[i] = it.ends[3 * i];
    size_t label_bytes = (size_t)it.ends[3 * it.n_rows];
    it.labels = exactly(label_bytes);
    memset(it.labels, 'x', label_bytes);
    it.numbers = draw_cells(it.n_rows);
    it.zeros = draw_cells(it.n_rows);
    it.buckets = draw_cells(it.n_rows * it.n_buckets);
    it.columns = draw_cells(it.n_rows * n_columns);
    for (size_t i = 0; is_longest && i < it.n_rows * n_columns; i++)
        it.columns[i] = UINT64_MAX * (i % 2);
    it.bounds = exactly(it.n_buckets * sizeof *it.bounds);
    memset(it.bounds, 0, it.n_buckets * sizeof *it.bounds);
    it.native = (struct shm_native){
        (int32_t)(draw() % 13) - 4,
        (int32_t)draw_bits(),
        draw() % 2 == 0 ? 0.0 : 0.5,
        column_in(it.zeros, 1),
        counts_in(it.columns, it.n_rows, n_columns),
        SHM_REMOTE_SCHEMA,
    };
    it.exemplars = draw_exemplars();
    for (size_t i = 0; is_longest && i < it.exemplars.n; i++) {
        struct shm_exemplar *one = (struct shm_exemplar *)(uintptr_t)&it.exemplars.first[i];
        one->stamp_ns = UINT64_MAX;
    }
    write_lines(&it);
    write_series(&it);
    write_points(&it);
    split();
    free((void *)(uintptr_t)it.exemplars.first);
    free(it.bounds);
    free(it.columns);
    free(it.buckets);
    free(it.zeros);
    free(it.numbers);
    free(it.labels);
    free(it.row_ends);
    free(it.ends);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: push_driver SEED N\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) | 1;
    for (unsigned long n = strtoul(argv[2], NULL, 10); n > 0; n--)
        family(n % 2 == 0);
    return 0;
}

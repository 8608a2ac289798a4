/* SPDX-License-Identifier: Apache-2.0 */
/* The protobuf core without Python, for the sanitizers.
 *
 *   proto_driver SEED N   renders N random families, each piece into exactly as much memory as it is
 *                         said to need, on the heap, where overruns show. Of every other family the
 *                         numbers change between measure and writing.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drawn.h"
#include "render/proto.h"

/* Writes all pieces. Whether each row was as long as it had been measured. */
static int write_all(const struct shm_proto_family *family, const uint64_t *sizes,
                     struct shm_proto_labels labels, uint64_t most_bytes)
{
    for (size_t row = 0; row < family->n_rows;) {
        uint64_t n_bytes;
        size_t end = shm_proto_piece(family, sizes, labels.ends, row, most_bytes, &n_bytes);
        assert(end > row && (n_bytes <= most_bytes || end == row + 1));
        char *out = exactly(n_bytes + shm_proto_slack(family));
        char *written = shm_proto_write(out, family, sizes, labels, row, end);
        if (written != NULL) {
            assert((uint64_t)(written - out) == n_bytes);
            fwrite(out, 1, n_bytes, stdout);
        }
        free(out);
        if (written == NULL)
            return 0;
        row = end;
    }
    return 1;
}

static void family(int changes)
{
    static const enum shm_proto_kind kinds[] = {
        SHM_PROTO_HISTOGRAM, SHM_PROTO_COUNTER, SHM_PROTO_GAUGE, SHM_PROTO_UNTYPED};
    size_t n_rows = 1 + draw() % 8;
    size_t n_buckets = 1 + draw() % 8;
    size_t n_columns = draw() % 400;
    uint64_t *ends = exactly((n_rows + 1) * sizeof *ends);
    ends[0] = 0;
    for (size_t i = 0; i < n_rows; i++)
        ends[i + 1] = ends[i] + draw() % 300;
    char *fields = exactly(ends[n_rows] + 1);
    memset(fields, 'x', ends[n_rows] + 1);

    uint64_t *numbers = draw_cells(n_rows);
    uint64_t *zeros = draw_cells(n_rows);
    uint64_t *buckets = draw_cells(n_rows * n_buckets);
    uint64_t *columns = draw_cells(n_rows * n_columns);
    double *bounds = exactly(n_buckets * sizeof *bounds);
    memset(bounds, 0, n_buckets * sizeof *bounds);
    struct shm_native native = {
        (int32_t)(draw() % 13) - 4,
        (int32_t)draw_bits(),
        draw() % 2 == 0 ? 0.0 : 0.5,
        column_in(zeros, 1),
        counts_in(columns, n_rows, n_columns),
        draw() % 2 == 0 ? SHM_CLIENT_SCHEMA : SHM_REMOTE_SCHEMA,
    };
    struct shm_proto_family it = {
        .kind = kinds[draw() % 4],
        .n_rows = n_rows,
        .values = column_in(numbers, draw() % 2 == 0),
        .created = column_in(draw() % 2 == 0 ? NULL : numbers, draw() % 2 == 0),
        .sums = column_in(numbers, 0),
        .bounds = bounds,
        .buckets = counts_in(buckets, n_rows, n_buckets),
        .native = draw() % 4 == 0 ? NULL : &native,
        .exemplars = draw_exemplars(),
    };
    struct shm_proto_labels labels = {fields, ends};

    uint64_t *sizes = exactly(n_rows * sizeof *sizes);
    shm_proto_measure(&it, sizes);
    for (size_t i = 0; changes && i < n_rows * n_columns; i++)
        columns[i] = UINT64_MAX * (i % 2); /* the longest deltas that there are */
    for (size_t i = 0; changes && i < n_rows * n_buckets; i++)
        buckets[i] = draw_bits();
    for (size_t i = 0; changes && i < it.exemplars.n; i++) {
        struct shm_exemplar *one = (struct shm_exemplar *)(uintptr_t)&it.exemplars.first[i];
        one->stamp_ns = UINT64_MAX;
        one->series = 0;
        one->bucket = (uint32_t)i;
    }
    int written = write_all(&it, sizes, labels, draw() % 1000);
    assert(written || changes);

    free((void *)(uintptr_t)it.exemplars.first);
    free(sizes);
    free(bounds);
    free(columns);
    free(buckets);
    free(zeros);
    free(numbers);
    free(fields);
    free(ends);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: proto_driver SEED N\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) | 1;
    for (unsigned long n = strtoul(argv[2], NULL, 10); n > 0; n--)
        family(n % 2 == 0);
    return 0;
}

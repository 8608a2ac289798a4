/* SPDX-License-Identifier: Apache-2.0 */
/* A number per row, between texts that are the same for all rows, and the labels of the row:
 *
 *   before labels middle number after end             labels before the number
 *   before middle number after labels end             labels after it
 *
 * What Graphite, StatsD and Elasticsearch take are lines of this form. Nothing here allocates,
 * fails or keeps anything.
 */
#ifndef SHM_LINES_H
#define SHM_LINES_H

#include "columns.h"

struct shm_piece {
    const char *text;
    size_t n_bytes;
};

/* The form of a line. is_binary: the number is a double, its highest byte first; otherwise it is
 * text, see number.h. */
struct shm_line {
    struct shm_piece before;
    struct shm_piece middle;
    struct shm_piece after;
    struct shm_piece end;
    int labels_last;
    int is_binary;
};

/* The rows that are written, and their labels: those of row i are at [ends[i], ends[i+1]). rows:
 * the numbers of n rows; NULL: rows 0 to n - 1. */
struct shm_labelled {
    const char *labels;
    const uint64_t *ends;
    const uint64_t *rows;
    size_t n;
};

/* Returns the end of the rows from the from-th whose lines take most_bytes or less together; but at
 * least one row. n_bytes: how many they take at most. */
size_t shm_lines_reach(const struct shm_line *line, const struct shm_labelled *labelled,
                       size_t from, size_t most_bytes, size_t *n_bytes);

/* Writes the lines of the from-th row to before the to-th; returns their end. */
char *shm_lines_write(char *out, const struct shm_line *line, const struct shm_labelled *labelled,
                      struct shm_column values, size_t from, size_t to);

/* Returns how many bytes of text go into a datagram: whole lines, without the end of the last one,
 * as many as most_bytes have room for, but at least one. text: lines, each with its end.
 * n_lines: how many lines these are. */
size_t shm_lines_datagram(const char *text, size_t n_bytes, size_t most_bytes, size_t *n_lines);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Samples as text, line by line as prometheus_client prints them; the text format and OpenMetrics
 * agree on these lines. The caller writes those between them (HELP, TYPE, UNIT, EOF).
 *
 *   name suffix { before , le="0.5" , after } value exemplar \n
 *   { "name suffix" , before , le="0.5" , after } value exemplar \n
 *
 * where the second one has a name that must be quoted, because it has other characters than old
 * readers know,
 * and an exemplar, if there is one, is # {span_id="...",trace_id="..."} value seconds.
 *
 * Nothing here allocates, fails or keeps anything. The caller asks for a bound, provides as much
 * room, and gets back where the text ends.
 */
#ifndef SHM_TEXT_H
#define SHM_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "columns.h"
#include "number.h"

enum { SHM_TEXT_SUFFIX_BYTES = 8 }; /* _created */
enum { SHM_TEXT_EXEMPLAR_BYTES = 160 };  /* see put_exemplar() */

/* A family. If quoted, the name stands between quotes, and is escaped for there. Row i has the labels `name="value",...` of sorted names: before are those that sort
 * before le, at [parts[2i], parts[2i+1]), after the others, at [parts[2i+1], parts[2i+2]). If it
 * has both, before ends in a comma, so that before and after together are all its labels. */
struct shm_text_family {
    const char *name;
    size_t name_bytes;
    int quoted;
    const char *labels;
    const uint64_t *parts; /* 2 * n_rows + 1 */
    size_t n_rows;
};

/* The le labels of a histogram, +Inf included: the text of the one of bucket i, `le="0.5"`, is at
 * [offsets[i], offsets[i+1]). */
struct shm_text_les {
    const char *text;
    const uint64_t *offsets; /* n + 1 */
    size_t n;
};

/* Escapes backslash, newline and quote. Writes at most twice n_bytes; returns the end. */
char *shm_text_escape(char *out, const char *value, size_t n_bytes);

/* Returns how many bytes n_lines lines of each row take at most, one for each le among them; les
 * may be NULL. */
size_t shm_text_bound(const struct shm_text_family *family, size_t n_lines,
                      const struct shm_text_les *les, struct shm_exemplars_of_rows exemplars);

/* Writes one line per row, and one for created after each if there is such a column. */
char *shm_text_scalars(char *out, const struct shm_text_family *family, const char *suffix,
                       struct shm_column values, struct shm_column created,
                       struct shm_exemplars_of_rows exemplars);

/* Writes for each row a line per bucket, _count, _sum and _created, the last two if there is a
 * column. */
char *shm_text_histograms(char *out, const struct shm_text_family *family,
                          const struct shm_text_les *les, struct shm_counts_of_rows buckets,
                          struct shm_column sums, struct shm_column created,
                          struct shm_exemplars_of_rows exemplars);

#endif

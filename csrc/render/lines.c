/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include "number.h"
#include "put.h"

static char *put_piece(char *out, struct shm_piece piece)
{
    return shm_put(out, piece.text, piece.n_bytes);
}

static size_t row_at(const struct shm_labelled *labelled, size_t at)
{
    return labelled->rows == NULL ? at : (size_t)labelled->rows[at];
}

static size_t label_bytes(const struct shm_labelled *labelled, size_t row)
{
    return (size_t)(labelled->ends[row + 1] - labelled->ends[row]);
}

static char *put_labels(char *out, const struct shm_labelled *labelled, size_t row)
{
    return shm_put(out, labelled->labels + labelled->ends[row], label_bytes(labelled, row));
}

static char *put_binary(char *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int shift = 56; shift >= 0; shift -= 8)
        *out++ = (char)(bits >> shift);
    return out;
}

static char *put_number(char *out, const struct shm_line *line, struct shm_column values,
                        size_t row)
{
    if (line->is_binary)
        return put_binary(out, shm_number_at(values, row));
    return values.counts ? shm_text_count(out, shm_whole_at(values, row))
                         : shm_text_number(out, shm_number_at(values, row));
}

size_t shm_lines_reach(const struct shm_line *line, const struct shm_labelled *labelled,
                       size_t from, size_t most_bytes, size_t *n_bytes)
{
    size_t fixed = line->before.n_bytes + line->middle.n_bytes + line->after.n_bytes +
                   line->end.n_bytes + SHM_TEXT_NUMBER_BYTES;
    size_t at = from;
    for (*n_bytes = 0; at < labelled->n; at++) {
        size_t more = fixed + label_bytes(labelled, row_at(labelled, at));
        if (at > from && *n_bytes + more > most_bytes)
            break;
        *n_bytes += more;
    }
    return at;
}

char *shm_lines_write(char *out, const struct shm_line *line, const struct shm_labelled *labelled,
                      struct shm_column values, size_t from, size_t to)
{
    for (size_t at = from; at < to; at++) {
        size_t row = row_at(labelled, at);
        out = put_piece(out, line->before);
        if (!line->labels_last)
            out = put_labels(out, labelled, row);
        out = put_number(put_piece(out, line->middle), line, values, row);
        out = put_piece(out, line->after);
        if (line->labels_last)
            out = put_labels(out, labelled, row);
        out = put_piece(out, line->end);
    }
    return out;
}

size_t shm_lines_datagram(const char *text, size_t n_bytes, size_t most_bytes, size_t *n_lines)
{
    size_t end = n_bytes;
    *n_lines = 0;
    for (size_t at = 0; at < n_bytes;) {
        const char *newline = memchr(text + at, '\n', n_bytes - at);
        size_t next = newline == NULL ? n_bytes : (size_t)(newline - text);
        if (*n_lines > 0 && next > most_bytes)
            break;
        end = next;
        (*n_lines)++;
        at = next + 1;
    }
    return end;
}

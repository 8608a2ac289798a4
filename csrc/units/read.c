/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "read.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Reads once from the beginning. The kernel writes each of these files whole into a buffer that has
 * the room. Returns 0 or an errno. */
static int read_text(int fd, char *buffer, size_t *n_bytes)
{
    ssize_t n;
    do
        n = pread(fd, buffer, SHM_UNIT_BUFFER_BYTES, 0);
    while (n < 0 && errno == EINTR);
    *n_bytes = n < 0 ? 0 : (size_t)n;
    return n < 0 ? errno : 0;
}

/* Counts lines up to the end. A list of processes is written page by page. */
static int read_lines(int fd, char *buffer, double *value)
{
    uint64_t n_lines = 0;
    for (off_t at = 0;;) {
        ssize_t n = pread(fd, buffer, SHM_UNIT_BUFFER_BYTES, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        if (n == 0)
            break;
        n_lines += shm_unit_lines(buffer, (size_t)n);
        at += n;
    }
    *value = (double)n_lines;
    return 0;
}

static void parse(const struct shm_unit_file *file, const char *text, size_t n_bytes,
                  double *found, struct shm_unit_devices *devices)
{
    switch (file->form) {
    case SHM_UNIT_FIELDS:
        shm_unit_fields(text, n_bytes, found, file->n_values);
        break;
    case SHM_UNIT_KEYED:
        shm_unit_keyed(text, n_bytes, file->keys, found, file->n_values);
        break;
    case SHM_UNIT_PRESSURE:
        shm_unit_pressure(text, n_bytes, found);
        break;
    case SHM_UNIT_IO_STAT:
        shm_unit_io_stat(text, n_bytes, devices);
        break;
    case SHM_UNIT_BLKIO_BYTES:
        shm_unit_blkio(text, n_bytes, devices, SHM_UNIT_READ_BYTES);
        break;
    case SHM_UNIT_BLKIO_COUNTS:
        shm_unit_blkio(text, n_bytes, devices, SHM_UNIT_READS);
        break;
    case SHM_UNIT_LINES:
        break;
    }
}

int shm_unit_read(int fd, const struct shm_unit_file *file, char *buffer, double *values,
                  struct shm_unit_devices *devices)
{
    double found[SHM_UNIT_FILE_VALUES];
    for (uint32_t i = 0; i < file->n_values; i++)
        found[i] = (double)NAN;
    int error = 0;
    /* Operations are counted with their bytes: where there are none of one there are none of the
     * other, as with most units. */
    if (file->form == SHM_UNIT_BLKIO_COUNTS && devices->n == 0)
        return 0;
    if (fd >= 0 && file->form == SHM_UNIT_LINES) {
        error = read_lines(fd, buffer, &found[0]);
    } else if (fd >= 0) {
        size_t n_bytes;
        error = read_text(fd, buffer, &n_bytes);
        if (error == 0)
            parse(file, buffer, n_bytes, found, devices);
    }
    for (uint32_t i = 0; i < file->n_values; i++)
        values[file->places[i]] = found[i] / file->divisors[i];
    return error;
}

void shm_unit_rest(double *values, uint32_t place, uint32_t whole)
{
    double rest = values[whole] - values[place];
    values[place] = rest < 0 ? 0 : rest;
}

enum shm_unit_settled shm_unit_settle(double *values, double *shown, uint32_t n_counters,
                                      uint32_t n_values)
{
    enum shm_unit_settled settled = SHM_UNIT_SAME;
    for (uint32_t i = 0; i < n_values; i++) {
        bool is = !isnan(values[i]), was = !isnan(shown[i]);
        if (i < n_counters && is && was && values[i] < shown[i])
            values[i] = shown[i];
        if (is != was)
            settled = SHM_UNIT_CAME_OR_WENT;
        else if (is && values[i] != shown[i] && settled == SHM_UNIT_SAME)
            settled = SHM_UNIT_CHANGED;
        shown[i] = values[i];
    }
    return settled;
}

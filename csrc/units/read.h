/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of a unit's files: descriptors that are kept open, one pread() each into one buffer, and
 * values at their places in one array. Nothing is allocated.
 *
 * A removed cgroup answers ENODEV, as does a file whose controller was switched off: a clean end,
 * and not another cgroup's numbers, as a path would give them once it is made anew.
 */
#ifndef SHM_UNITS_READ_H
#define SHM_UNITS_READ_H

#include <stddef.h>
#include <stdint.h>

#include "devices.h"
#include "values.h"

#define SHM_UNIT_BUFFER_BYTES 65536u /* more than any of these files has, but for cgroup.procs */
#define SHM_UNIT_FILE_VALUES 64u     /* most values of one file */

enum shm_unit_form {
    SHM_UNIT_FIELDS,
    SHM_UNIT_KEYED,
    SHM_UNIT_PRESSURE,
    SHM_UNIT_LINES,
    SHM_UNIT_IO_STAT,
    SHM_UNIT_BLKIO_BYTES,
    SHM_UNIT_BLKIO_COUNTS,
};

/* What a file has, and where its values go. */
struct shm_unit_file {
    enum shm_unit_form form;
    uint32_t n_values;               /* <= SHM_UNIT_FILE_VALUES */
    const struct shm_unit_key *keys; /* n_values of them, if it is keyed */
    const uint32_t *places;          /* n_values indexes into the array of values */
    const double *divisors;          /* n_values: from the file's unit to that which is shown */
};

/* Reads a file, and writes each value to its place: NaN where there is none.
 *
 * fd: its descriptor; -1: it could not be opened, and has no values. buffer: SHM_UNIT_BUFFER_BYTES.
 * devices: gets the rows of files of devices.
 * Returns 0, or the errno of the read. */
int shm_unit_read(int fd, const struct shm_unit_file *file, char *buffer, double *values,
                  struct shm_unit_devices *devices);

/* Makes the value at place what is left of the one at whole without it, not below 0: they are of two
 * files, and of two moments. NaN if one of them is. */
void shm_unit_rest(double *values, uint32_t place, uint32_t whole);

/* How what was read differs from what is shown. */
enum shm_unit_settled {
    SHM_UNIT_SAME,
    SHM_UNIT_CHANGED,      /* some values */
    SHM_UNIT_CAME_OR_WENT, /* some have become values, or NaN */
};

/* Compares what was read with what is shown, and makes it what is shown.
 *
 * The first n_counters values are those of counters, which do not fall within a generation: the
 * counters of an ancestor were seen to go back when children died. A value that is lower than the
 * one that is shown becomes that one. */
enum shm_unit_settled shm_unit_settle(double *values, double *shown, uint32_t n_counters,
                                      uint32_t n_values);

#endif

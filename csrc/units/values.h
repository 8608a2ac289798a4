/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of the files of a cgroup that have one value, or one per key.
 *
 *   fields     `123`, `max`, `50000 100000`          memory.current, cpu.max, /proc/PID/statm
 *   keyed      `key 123` in each line                cpu.stat, memory.stat, /proc/PID/io
 *   pressure   `some avg10=0.00 ... total=123`       cpu.pressure, of some and of full
 *   lines      a line for each process               cgroup.procs
 *
 * Documented in admin-guide/cgroup-v2.rst, cgroup-v1/ and accounting/psi.rst of the kernel. Keys
 * that nobody wants are skipped; a value that is wanted and not there is NaN. Nothing here
 * allocates, keeps anything or fails, whatever the text is.
 */
#ifndef SHM_UNITS_VALUES_H
#define SHM_UNITS_VALUES_H

#include <stddef.h>
#include <stdint.h>

/* A key that is wanted. */
struct shm_unit_key {
    const char *name;
    size_t n_bytes;
};

#define SHM_UNIT_PRESSURES 2u /* microseconds: some, full */

/* Writes the first n_values words of the first line, as numbers. */
void shm_unit_fields(const char *text, size_t n_bytes, double *values, uint32_t n_values);

/* Writes the value of each key. A key that is there twice has its last value. */
void shm_unit_keyed(const char *text, size_t n_bytes, const struct shm_unit_key *keys,
                    double *values, uint32_t n_values);

/* Writes SHM_UNIT_PRESSURES values: the totals of the lines `some` and `full`. */
void shm_unit_pressure(const char *text, size_t n_bytes, double *values);

/* Returns how many newlines there are. */
uint64_t shm_unit_lines(const char *text, size_t n_bytes);

#endif

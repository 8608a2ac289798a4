/* SPDX-License-Identifier: Apache-2.0 */
/* What a cgroup has read and written, by block device.
 *
 *   io.stat                                      8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 ...
 *   blkio.throttle.io_service_bytes_recursive    8:0 Read 1
 *   blkio.throttle.io_serviced_recursive         8:0 Write 4      and at the end, Total 5
 *
 * Documented in admin-guide/cgroup-v2.rst and cgroup-v1/blkio-controller.rst of the kernel. The two
 * files of v1 fill the same rows, one its first columns and the other its last. Kernels were seen
 * that write the number of a device which has done nothing, and no newline behind it: a number
 * always begins a new row.
 */
#ifndef SHM_UNITS_DEVICES_H
#define SHM_UNITS_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#define SHM_UNIT_DEVICES 64u /* of one unit; what is beyond them is counted as left out */

/* Columns of a row. */
enum {
    SHM_UNIT_READ_BYTES,
    SHM_UNIT_WRITTEN_BYTES,
    SHM_UNIT_READS,
    SHM_UNIT_WRITES,
    SHM_UNIT_COLUMNS
};

struct shm_unit_device {
    uint32_t major;
    uint32_t minor;
    double values[SHM_UNIT_COLUMNS]; /* NaN: not said */
};

struct shm_unit_devices {
    uint32_t n;
    uint32_t left_out; /* rows that had no room */
    struct shm_unit_device rows[SHM_UNIT_DEVICES];
};

/* Adds the rows of an io.stat. */
void shm_unit_io_stat(const char *text, size_t n_bytes, struct shm_unit_devices *devices);

/* Adds the rows of a file of blkio.throttle. column: SHM_UNIT_READ_BYTES if it has bytes,
 * SHM_UNIT_READS if it has numbers of operations. */
void shm_unit_blkio(const char *text, size_t n_bytes, struct shm_unit_devices *devices,
                    uint32_t column);

#endif

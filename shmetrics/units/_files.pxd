# SPDX-License-Identifier: Apache-2.0
# What csrc/units/ offers.

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "units/values.h" nogil:
    cdef struct shm_unit_key:
        const char *name
        size_t n_bytes

    const uint32_t SHM_UNIT_PRESSURES


cdef extern from "units/devices.h" nogil:
    const uint32_t SHM_UNIT_COLUMNS
    const uint32_t SHM_UNIT_READ_BYTES
    const uint32_t SHM_UNIT_WRITTEN_BYTES
    const uint32_t SHM_UNIT_READS
    const uint32_t SHM_UNIT_WRITES

    cdef struct shm_unit_device:
        uint32_t major
        uint32_t minor
        double *values

    cdef struct shm_unit_devices:
        uint32_t n
        uint32_t left_out
        shm_unit_device *rows


cdef extern from "units/walk.h" nogil:
    cdef struct shm_unit_walk_state "shm_unit_walk":
        char *records
        size_t size_bytes
        size_t used_bytes
        bint has_left_out
        bint is_thorough
        const char *before
        size_t before_bytes

    int shm_unit_walk(shm_unit_walk_state *walk, const char *path) noexcept


cdef extern from "units/process.h" nogil:
    cdef struct shm_unit_process:
        char state
        uint64_t parent
        uint64_t user_ticks
        uint64_t system_ticks
        uint64_t threads
        uint64_t start_ticks
        uint64_t virtual_bytes
        uint64_t rss_pages
        size_t name_at
        size_t name_bytes

    bint shm_unit_process_read "shm_unit_process"(const char *text, size_t n_bytes,
                                                  shm_unit_process *process) noexcept


cdef extern from "units/processes.h" nogil:
    cdef struct shm_unit_process_record:
        pass

    cdef struct shm_unit_processes_state "shm_unit_processes":
        shm_unit_process_record *records
        size_t most
        size_t n
        bint has_left_out
        uint64_t number
        uint64_t turns
    const uint64_t SHM_UNIT_NOT_ASKED
    int shm_unit_processes(shm_unit_processes_state *processes, const char *proc) noexcept


cdef extern from "units/read.h" nogil:
    const size_t SHM_UNIT_BUFFER_BYTES
    const uint32_t SHM_UNIT_FILE_VALUES

    cdef enum shm_unit_form:
        SHM_UNIT_FIELDS
        SHM_UNIT_KEYED
        SHM_UNIT_PRESSURE
        SHM_UNIT_LINES
        SHM_UNIT_IO_STAT
        SHM_UNIT_BLKIO_BYTES
        SHM_UNIT_BLKIO_COUNTS

    cdef struct shm_unit_file:
        shm_unit_form form
        uint32_t n_values
        const shm_unit_key *keys
        const uint32_t *places
        const double *divisors

    int shm_unit_read(int fd, const shm_unit_file *file, char *buffer, double *values,
                      shm_unit_devices *devices) noexcept
    void shm_unit_rest(double *values, uint32_t place, uint32_t whole) noexcept
    cdef enum shm_unit_settled:
        SHM_UNIT_SAME
        SHM_UNIT_CHANGED
        SHM_UNIT_CAME_OR_WENT

    shm_unit_settled shm_unit_settle(double *values, double *shown, uint32_t n_counters,
                                     uint32_t n_values) noexcept


cdef class Form:
    cdef tuple _kept
    cdef shm_unit_file *_files
    cdef char *_buffer
    cdef shm_unit_devices _devices
    cdef readonly uint32_t n_files, n_values, n_counters
    cdef uint32_t _rest, _whole


cdef class Files:
    cdef readonly Form form
    cdef int *_fds
    cdef int *_errors
    cdef double *_values
    cdef double *_shown


cdef class Walk:
    cdef shm_unit_walk_state _walk
    cdef bytes _path, _before


cdef class Processes:
    cdef shm_unit_processes_state _processes
    cdef bytes _proc

# SPDX-License-Identifier: Apache-2.0
# What csrc/ knows of the places between bounds.

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "drain/scale.h" nogil:
    const uint32_t SHM_SCALE_BOUNDS

    cdef struct shm_scale:
        uint32_t n_bounds
        uint32_t n_classic
        uint32_t coarse_at
        uint64_t *coarse

    void shm_scale_init(shm_scale *scale, const double *bounds, uint32_t n_bounds,
                        const double *classic, uint32_t n_classic) noexcept
    uint32_t shm_scale_counts(const shm_scale *scale) noexcept
    uint32_t shm_scale_place(const shm_scale *scale, double value) noexcept
    void shm_sum_runs(const uint64_t *cells, const uint32_t *ends, uint32_t n,
                      uint64_t *sums) noexcept


cdef class Scale:
    cdef shm_scale scale
    cdef const double[::1] _bounds
    cdef const double[::1] _classic
    cdef uint64_t[::1] _coarse

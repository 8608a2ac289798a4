# SPDX-License-Identifier: Apache-2.0
# What csrc/ knows of the cells of the store.

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


cdef extern from "drain/undo.h" nogil:
    cdef struct shm_undo:
        pass


cdef extern from "lane/exemplar.h" nogil:
    cdef struct shm_exemplar:
        pass

    const size_t SHM_AT_SERIES "offsetof(struct shm_exemplar, series)"
    const size_t SHM_AT_BUCKET "offsetof(struct shm_exemplar, bucket)"
    const size_t SHM_AT_VALUE "offsetof(struct shm_exemplar, value)"
    const size_t SHM_AT_STAMP_NS "offsetof(struct shm_exemplar, stamp_ns)"
    const size_t SHM_AT_TRACE "offsetof(struct shm_exemplar, trace.id)"
    const size_t SHM_AT_SPAN "offsetof(struct shm_exemplar, trace.span)"


cdef extern from "drain/exemplars.h" nogil:
    cdef struct shm_exemplars:
        uint32_t n
        uint64_t displaced

    bint shm_exemplars_open(shm_exemplars *exemplars, uint32_t most) noexcept
    void shm_exemplars_close(shm_exemplars *exemplars) noexcept
    uint32_t shm_exemplars_copy(const shm_exemplars *exemplars, shm_exemplar *to) noexcept
    void shm_exemplars_forget(shm_exemplars *exemplars, uint64_t series,
                              uint32_t n_buckets) noexcept


cdef class Scale:
    cdef shm_scale scale
    cdef const double[::1] _bounds
    cdef const double[::1] _classic
    cdef uint64_t[::1] _coarse


cdef class ExemplarTable:
    cdef shm_exemplars exemplars

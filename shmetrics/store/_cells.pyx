# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/drain/ for the store: which cell takes a value, what many of them add
up to, and the traces that stand for them."""

from libc.math cimport INFINITY
from libc.stdint cimport uint32_t, uint64_t

UNDO_BYTES = sizeof(shm_undo)
# (name, numpy format, offset): np.dtype({...}) of one exemplar.
EXEMPLAR_FIELDS = (
    ("row", "<u8", SHM_AT_SERIES),
    ("bucket", "<u8", SHM_AT_BUCKET),
    ("value", "<f8", SHM_AT_VALUE),
    ("stamp_ns", "<u8", SHM_AT_STAMP_NS),
    ("trace", "16u1", SHM_AT_TRACE),
    ("span", "8u1", SHM_AT_SPAN),
)
EXEMPLAR_BYTES = sizeof(shm_exemplar)


cdef class Scale:
    """The places of a family's values in its rows, see csrc/drain/scale.h.

    Args:
        bounds: the fine bounds, rising, the last one infinite.
        classic: those of them that are the family's classic bounds.

    Raises:
        ValueError: the bounds are not rising, not finite before the last one, or too many.
    """

    def __cinit__(self, const double[::1] bounds not None, const double[::1] classic not None):
        cdef Py_ssize_t n = bounds.shape[0] - 1
        cdef Py_ssize_t n_classic = classic.shape[0]
        if n < 0 or n > <Py_ssize_t>SHM_SCALE_BOUNDS or bounds[n] != INFINITY:
            raise ValueError("no infinite bound, or too many before it")
        for i in range(n):
            if not -INFINITY < bounds[i] < bounds[i + 1]:
                raise ValueError("bounds are not finite and ascending")
        for i in range(n_classic - 1):
            if not classic[i] < classic[i + 1]:
                raise ValueError("bounds are not ascending")
        if n_classic > n:
            raise ValueError("more classic bounds than there are")
        self._bounds = bounds
        self._classic = classic
        shm_scale_init(&self.scale, &bounds[0], <uint32_t>n, &classic[0] if n_classic else NULL,
                       <uint32_t>n_classic)

    @property
    def n_counts(self):
        """Return the number of counts in a row."""
        return shm_scale_counts(&self.scale)

    @property
    def coarse_at(self):
        """Return the index of the first coarse count of a row: those by classic bucket only.

        0 if the row has no finer counts than these.
        """
        return self.scale.coarse_at

    def place(self, double value):
        """Return the index of the interval that a value belongs to. The value must not be NaN."""
        return shm_scale_place(&self.scale, value)

    def count_coarse(self, uint64_t[::1] cells not None, Py_ssize_t cell):
        """Let the drain count its coarse counts in this cell of the store, as a double.

        Raises:
            ValueError: the cell is outside the store.
        """
        if not 0 <= cell < cells.shape[0]:
            raise ValueError("a cell outside the store")
        self._coarse = cells
        self.scale.coarse = &cells[cell] if self.scale.coarse_at else NULL


def sum_runs(const uint64_t[:, :] cells not None, const uint32_t[::1] ends not None,
             uint64_t[:, ::1] sums not None):
    """Add the sum of cells[row, ends[k - 1]:ends[k]] to sums[row, k], for all rows and k.

    Args:
        cells: (rows, columns); the numbers of a row must follow each other in memory.
        ends: (k,), rising; the first run begins at 0.
        sums: (rows, k), contiguous; changed in place.

    Raises:
        ValueError: the shapes do not fit, or the runs do not lie within the cells.
    """
    cdef Py_ssize_t n_rows = cells.shape[0]
    cdef uint32_t n = <uint32_t>ends.shape[0]
    cdef uint32_t end = 0
    if sums.shape[0] != n_rows or sums.shape[1] != ends.shape[0]:
        raise ValueError("sums of another shape than there are runs")
    for i in range(n):
        if ends[i] < end:
            raise ValueError("runs that do not come one behind the other")
        end = ends[i]
    if end > cells.shape[1]:
        raise ValueError("runs beyond the cells")
    if n_rows == 0 or n == 0 or end == 0:
        return
    if cells.strides[1] != sizeof(uint64_t):
        raise ValueError("cells of a row that are apart")
    with nogil:
        for row in range(n_rows):
            shm_sum_runs(&cells[row, 0], &ends[0], n, &sums[row, 0])


cdef class ExemplarTable:
    """The newest exemplar of each bucket, or of a counter; not more than `most` of them: then the
    one that was kept longest ago makes room."""

    def __cinit__(self, uint32_t most):
        if most < 1:
            raise ValueError("a table of no exemplars")
        if not shm_exemplars_open(&self.exemplars, most):
            raise MemoryError(f"no memory for {most} exemplars")

    def __dealloc__(self):
        shm_exemplars_close(&self.exemplars)

    def __len__(self):
        return self.exemplars.n

    @property
    def displaced(self):
        """Return the number of exemplars that have made room for others."""
        return self.exemplars.displaced

    def copy_to(self, unsigned char[::1] memory not None):
        """Copy all of them, as bytes of struct shm_exemplar, into memory of just that size.

        The series of each is the store's first cell of it. Raises ValueError for another size.
        """
        if <size_t>memory.shape[0] != self.exemplars.n * sizeof(shm_exemplar):
            raise ValueError("memory of another size than the exemplars have")
        if self.exemplars.n:
            shm_exemplars_copy(&self.exemplars, <shm_exemplar *>&memory[0])

    def forget(self, uint64_t series, uint32_t n_buckets):
        """Drops those of a series."""
        shm_exemplars_forget(&self.exemplars, series, n_buckets)

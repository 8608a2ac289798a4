# SPDX-License-Identifier: Apache-2.0
# Totals that are kept elsewhere: one series, and many that are set at once. Part of _ring.pyx.

cdef enum:
    _MOST_AT_ONCE = 256  # totals, before the registration is looked after


cdef class ObservedSeries(Series):
    """One series of an observed counter."""

    def set_total(self, value):
        """Set the total. One that is lower than before, negative or not finite is dropped."""
        cdef double total
        if _number(&self.series, value, &total) and shm_emit_total(
                shm_process_producer(), &self.series, total) == SHM_ATTENTION:
            _attend()

    def new_generation(self, value=0.0):
        """Begin a new generation now, with this total: the counter was reset."""
        cdef double total
        if _number(&self.series, value, &total) and shm_emit_generation(
                shm_process_producer(), &self.series, total) == SHM_ATTENTION:
            _attend()


cdef class ObservedArray:
    """Series of observed counters that are set together, by their place.

    Its argument is a sequence. What is no ObservedSeries in it has a place, and records nothing.
    """

    cdef tuple _children
    cdef shm_series **_series
    cdef Py_ssize_t _n

    def __cinit__(self, series):
        self._children = tuple(series)
        self._n = len(self._children)
        self._series = <shm_series **>PyMem_Calloc(<size_t>self._n, sizeof(shm_series *))
        if self._series == NULL:
            raise MemoryError
        for i in range(self._n):
            if isinstance(self._children[i], ObservedSeries):
                self._series[i] = &(<ObservedSeries>self._children[i]).series

    def __dealloc__(self):
        PyMem_Free(self._series)

    def __len__(self):
        return self._n

    cdef int _drop(self, int cause) except -1:
        """Count a drop, and name its metric if it is a bad value: that of the first series."""
        cdef int result = SHM_EMITTED
        cdef Py_ssize_t at = 0
        while at < self._n and self._series[at] == NULL:
            at += 1
        if at < self._n and cause == SHM_DROP_BAD_VALUE:
            result = shm_drop_of(shm_process_producer(), self._series[at].family, cause)
        else:
            shm_count_drop(shm_process_producer(), cause, 1)
        if result == SHM_ATTENTION:
            _attend()
        return 0

    def set_totals(self, values):
        """Set all totals, each as set_total() does. A total whose value is NaN stays as it is.

        Args:
            values: a contiguous buffer of doubles, one per series in their order, as an
                array.array("d") or a numpy array has. Any other is counted, once, and sets nothing.
        """
        cdef const double[::1] totals = None
        cdef int cause = SHM_DROP_BAD_VALUE
        try:
            totals = values
        except MemoryError:
            cause = SHM_DROP_NO_MEMORY
        except Exception:
            pass
        if totals is None or totals.shape[0] != self._n:
            self._drop(cause)
            return
        cdef Py_ssize_t at = 0, n
        while at < self._n:
            n = min(self._n - at, _MOST_AT_ONCE)
            if shm_emit_totals(shm_process_producer(), self._series + at, &totals[at],
                               <uint32_t>n) == SHM_ATTENTION:
                _attend()
            at += n

    def new_generation(self, index, value=0.0):
        """Begin a new generation of the series with this index, as its new_generation() does."""
        cdef Py_ssize_t at = -1
        cdef ObservedSeries child
        try:
            at = index
        except Exception:
            pass
        if not 0 <= at < self._n:
            self._drop(SHM_DROP_BAD_VALUE)
        elif self._series[at] != NULL:
            child = self._children[at]
            child.new_generation(value)

# SPDX-License-Identifier: Apache-2.0
# Spans that are recorded while the process asks for a lane. It has no ring then, and one of its
# threads waits for the answer. Spans of the other threads are held until then. Part of _ring.pyx.

cdef enum:
    _MOST_HELD = 256

cdef list _held = None  # None: no thread asks for a lane
cdef uint32_t _held_epoch = 0  # of the process that asks: a child does not own its parent's spans


cdef class _Held:
    cdef SpanSeries series
    cdef shm_span span
    cdef bytes info


cdef bint _hold(SpanSeries series, const shm_span *span, const unsigned char *info,
                uint32_t info_bytes) except -1:
    """Hold a span. Return false if too many are held, or if the parent process holds them."""
    cdef _Held held
    if _held_epoch != shm_process_producer().epoch or len(_held) >= _MOST_HELD:
        return False
    held = _Held.__new__(_Held)
    held.series = series
    held.span = span[0]
    held.info = info[:info_bytes]
    _held.append(held)
    return True


cdef bint _hold_spans() except -1:
    """Hold spans until _release_spans(). Return false if they are held already."""
    global _held, _held_epoch
    cdef uint32_t epoch = shm_process_producer().epoch
    if _held is not None and _held_epoch == epoch:
        return False
    _held = []
    _held_epoch = epoch
    return True


cdef int _release_spans() except -1:
    """Record the held spans. Without a lane they are dropped, and counted."""
    global _held
    cdef list held = _held
    cdef _Held each
    if held is not None and _held_epoch == shm_process_producer().epoch:
        _held = None
        for each in held:
            each.series._emit(&each.span, each.info, <uint32_t>len(each.info))
    return 0

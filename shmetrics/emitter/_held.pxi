# SPDX-License-Identifier: Apache-2.0
# Spans that are said while the process asks for a lane. It has no ring then, and one of its threads
# waits; what the others say is held until that one knows more. Part of _ring.pyx.

cdef enum:
    _MOST_HELD = 256

cdef list _held = None  # None: nobody asks
cdef uint32_t _held_epoch = 0  # the process that does: what its parent holds is not the child's


cdef class _Held:
    cdef SpanSeries series
    cdef shm_span span
    cdef bytes info


cdef bint _hold(SpanSeries series, const shm_span *span, const unsigned char *info,
                uint32_t info_bytes) except -1:
    """False: it is not to be held, or there are too many."""
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
    """From now on they wait for _say_spans(). False: they do already."""
    global _held, _held_epoch
    cdef uint32_t epoch = shm_process_producer().epoch
    if _held is not None and _held_epoch == epoch:
        return False
    _held = []
    _held_epoch = epoch
    return True


cdef int _say_spans() except -1:
    """Those that wait go into the lane. If there still is none they are dropped, and counted."""
    global _held
    cdef list held = _held
    cdef _Held each
    if held is not None and _held_epoch == shm_process_producer().epoch:
        _held = None
        for each in held:
            each.series._emit(&each.span, each.info, <uint32_t>len(each.info))
    return 0

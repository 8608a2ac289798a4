# SPDX-License-Identifier: Apache-2.0
# A span, and the chain of the spans around it. Part of _profiler.pyx.

cdef extern from "emit/ids.h" nogil:
    enum:
        SHM_ID_TEXT_BYTES

    bint shm_ids_init() noexcept
    void shm_new_id(uint8_t *id) noexcept
    void shm_id_text(char *text, const uint8_t *id) noexcept


if not shm_ids_init():
    raise MemoryError("no memory to be told of forks")


@cython.final
@cython.no_gc  # references go from the inside out: there is no cycle
@cython.freelist(64)
cdef class _Span:
    cdef uint8_t id[16]
    cdef bint is_sound  # id is valid; otherwise the id was given as a text that is not a UUID
    cdef bint is_named
    cdef object text  # of the id: as it was given, or None until it is read
    cdef object name
    cdef object series  # of that name, in the lane; None until it is first recorded
    cdef _Span around
    cdef _Span trace  # the outermost span; None in the outermost itself

    def __dealloc__(self):
        # The chain is freed in a loop, not by recursion: it may have a million spans. A span
        # that only this chain holds loses its own chain before it is freed.
        cdef _Span around = self.around
        cdef _Span further
        self.around = None
        while around is not None and Py_REFCNT(around) == 1:
            further = around.around
            around.around = None
            around = further
            further = None  # or it would be held twice, and the loop would end too early


cdef int _read_id(_Span span) except -1:
    """Read the 16 bytes of a span's id from its text."""
    cdef shm_trace read
    cdef Py_ssize_t length
    cdef const char *utf8
    try:
        text = str(span.text)
        utf8 = PyUnicode_AsUTF8AndSize(text, &length)
        span.is_sound = shm_trace_read(&read, utf8, <size_t>length)
        memcpy(span.id, read.id, sizeof(span.id))
    except Exception:
        span.is_sound = False
    return 0


cdef _Span _new_span(_Span around, object text):
    """Make a span within another. text: its id, or None for a new one."""
    cdef _Span span = _Span.__new__(_Span)
    span.around = around
    if around is not None:
        span.trace = around if around.trace is None else around.trace
    _look()
    if text is None and _ids_are_theirs:
        shm_new_id(span.id)
        span.is_sound = True
    else:
        span.text = uuidutils.generate_uuid() if text is None else text
        _read_id(span)
    return span


cdef object _text(_Span span):
    cdef char text[SHM_ID_TEXT_BYTES]
    if span.text is None:
        shm_id_text(text, span.id)
        span.text = PyUnicode_DecodeASCII(text, SHM_ID_TEXT_BYTES, NULL)
    return span.text

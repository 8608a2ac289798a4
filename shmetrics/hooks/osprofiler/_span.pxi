# SPDX-License-Identifier: Apache-2.0
# A span, and the chain of those around it. Part of _profiler.pyx.

cdef extern from "emit/ids.h" nogil:
    enum:
        SHM_ID_TEXT_BYTES

    bint shm_ids_init() noexcept
    void shm_new_id(uint8_t *id) noexcept
    void shm_id_text(char *text, const uint8_t *id) noexcept


if not shm_ids_init():
    raise MemoryError("no memory to be told of forks")


@cython.final
@cython.no_gc  # from the inside out: there is no cycle
@cython.freelist(64)
cdef class _Span:
    cdef uint8_t id[16]
    cdef bint is_sound  # that is its id; otherwise it has a text that is no UUID
    cdef bint is_named
    cdef object text  # of its id: as it was given, or None until it is wanted
    cdef object name
    cdef object series  # in the lane, of that name; None until it has been there
    cdef _Span around
    cdef _Span trace  # the outermost; None for itself

    def __dealloc__(self):
        # One after the other, and not each inside the one that lets it go: there may be a million.
        # A span that nobody else holds has its chain taken off before it goes itself.
        cdef _Span around = self.around
        cdef _Span further
        self.around = None
        while around is not None and Py_REFCNT(around) == 1:
            further = around.around
            around.around = None
            around = further
            further = None  # or it would be held twice, and would be nobody's alone


cdef int _read_id(_Span span) except -1:
    """Its 16 bytes, from its text."""
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
    """text: its id; None: a new one."""
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

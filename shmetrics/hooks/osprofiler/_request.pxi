# SPDX-License-Identifier: Apache-2.0
# The trace of one request, and the events of its spans. Part of _profiler.pyx.

cdef object _series_of(object name):
    cdef PyObject *found = PyDict_GetItemWithError(_series, name)
    return <object>found if found != NULL else _spans.new_series(str(name))


cdef uint64_t _longest_idle_ns = UINT64_MAX  # see mark_after()


cdef class _Profiler:
    """The trace of a request, with the innermost span of each context that takes part in it."""

    cdef dict __dict__
    cdef bint _is_altered  # it may have another start(): a subclass's, or a test's
    cdef public object hmac_key
    cdef public object _host
    cdef _Span _trace
    cdef uint64_t _idle_since_ns  # the end of its last outermost span in the lane; 0 if none
    cdef bint _is_late  # an outermost span was marked: see `idle`
    cdef _Span _last  # the last innermost span: for code in other contexts that has the profiler

    def __cinit__(self):
        global _n_profilers
        _n_profilers += 1
        self._is_altered = type(self) is not _Profiler

    def __dealloc__(self):
        global _n_profilers
        _n_profilers -= 1

    def __init__(self, hmac_key, base_id=None, parent_id=None):
        self.hmac_key = hmac_key
        self._host = socket.gethostname()
        self._trace = _new_span(None, base_id or None)
        self._last = _new_span(self._trace, parent_id or _text(self._trace))

    def __setattr__(self, name, value):
        self._is_altered = True
        PyObject_GenericSetAttr(self, name, value)

    cdef _Span _at(self, bint *is_ours):
        """Return the innermost span of this context, or the last one of any context.

        is_ours is set to true if this context takes part in the trace, and has a span of its own.
        """
        cdef _Span span = _value(_innermost)
        is_ours[0] = span is not None and span.trace is self._trace
        return span if is_ours[0] else self._last

    cdef _Span _here(self):
        cdef bint is_ours
        return self._at(&is_ours)

    cdef bint _rests(self):
        """Return whether no span is open here."""
        return self._here().around is self._trace

    cdef int _go(self, _Span to, bint is_ours) except -1:
        self._last = to
        if is_ours:
            PyContextVar_Set(_innermost, to)
        return 0

    # ---- the methods of OSProfiler's profiler ---------------------------------------------------

    def get_shorten_id(self, uuid_id):
        """Return the 64 bits of an id that some storages use, as hexadecimal digits."""
        return format(_utils.shorten_id(uuid_id), "x")

    def get_base_id(self):
        """Return the id of the trace."""
        return _text(self._trace)

    def get_parent_id(self):
        """Return the id of the span around the innermost one."""
        return _text(self._here().around)

    def get_id(self):
        """Return the id of the innermost span."""
        return _text(self._here())

    def start(self, name, info=None):
        """Begin a span, which becomes the innermost one. info: a dictionary about it, or None."""
        self._start(name, info)

    def stop(self, info=None):
        """End the innermost span, if there is one."""
        self._stop(info)

    def detached_span(self, name, info, within=None):
        """Begin a span below the innermost one that does not become the innermost one itself.

        It may end at any time and in any context. See shmetrics/hooks/tracing/detached.py.

        Args:
            name: the name of the span.
            info: a dictionary about it.
            within: another detached span that contains this one; used if no other span has begun
                in between.
        """
        cdef _DetachedSpan detached = _DetachedSpan.__new__(_DetachedSpan)
        cdef _Span around = self._here()
        if type(within) is _DetachedSpan and (<_DetachedSpan>within).span.around is around:
            around = (<_DetachedSpan>within).span
        detached.profiler = self
        detached.pid = getpid()
        detached.span = _new_span(around, None)
        detached.span.name = name
        self._tell(detached.span, False, info)
        return detached

    @property
    def _trace_stack(self):
        cdef _Span span = self._here()
        cdef list ids = []
        while span is not None:
            ids.append(_text(span))
            span = span.around
        return Stack(reversed(ids), self._enter, self._leave)

    @property
    def _name(self):
        cdef _Span span = self._here()
        cdef list names = []
        while span is not None:
            if span.is_named:
                names.append(span.name)
            span = span.around
        return Stack(reversed(names), self._give_name, self._take_name)

    def _enter(self, text):
        cdef bint is_ours
        self._go(_new_span(self._at(&is_ours), text), is_ours)

    def _leave(self):
        cdef bint is_ours
        cdef _Span around = self._at(&is_ours).around
        if around is self._trace:
            raise IndexError("the trace itself is not left")
        self._go(around, is_ours)

    def _give_name(self, name):
        cdef _Span span = self._here()
        span.name = name
        span.series = None
        span.is_named = True

    def _take_name(self):
        cdef _Span span = self._here()
        span.is_named = False

    # ---- their work -----------------------------------------------------------------------------

    cdef int _start(self, object name, object info) except -1:
        cdef bint is_ours
        cdef _Span span = _new_span(self._at(&is_ours), None)
        span.name = name
        span.is_named = True
        self._go(span, is_ours)
        return self._tell(span, False, info)

    cdef int _stop(self, object info) except -1:
        cdef bint is_ours
        cdef _Span span = self._at(&is_ours)
        if span.is_named:
            try:
                self._tell(span, True, info)
            finally:
                self._go(span.around, is_ours)
        return 0

    cdef int _tell(self, _Span span, bint ends, object info) except -1:
        """Record the start or stop of a span in the lane, or send it to the notifier."""
        if info:
            info["host"] = self._host
        else:
            info = None
        _look()
        if not _notify_is_theirs:
            self._notify(span, ends, info)
        elif _spans is not None:
            self._record(span, ends, info)
        elif not _is_deaf:
            self._notify(span, ends, info)
        return 0

    cdef int _record(self, _Span span, bint ends, object info) except -1:
        """Record an event of a span in the lane. Never raises; a failure is counted."""
        cdef shm_span record
        cdef bint kept = False
        cdef bint is_outermost = span.around.around is self._trace
        record.stamp_ns = 0
        record.kind = <uint8_t>(SHM_KIND_SPAN_STOP if ends else SHM_KIND_SPAN_START)
        memcpy(record.id, span.id, sizeof(record.id))
        memcpy(record.trace, span.trace.id, sizeof(record.trace))
        memcpy(record.parent, span.around.id, sizeof(record.parent))
        try:
            if span.is_sound and span.trace.is_sound and span.around.is_sound:
                if info is None:
                    info = str(self._host)
                else:
                    if type(info) is not dict:
                        info = dict(info)
                    if _wanted is not None and len(<dict>info) > 1:  # more than the host
                        info = _wanted.of(span.name, info)
                if span.series is None:
                    span.series = _series_of(span.name)
                if is_outermost and not ends and self._idle_since_ns != 0:
                    info = self._marked_if_late(info)
                record_span(span.series, &record, info)
                if is_outermost and ends and not self._is_late:
                    self._idle_since_ns = record.stamp_ns
                kept = True
        except Exception:
            pass
        if not kept:
            process_count_drop(DROP_BAD_VALUE)
        return 0

    cdef object _marked_if_late(self, object info):
        """Return the info of an outermost span that begins, marked as `idle` has it."""
        cdef uint64_t idle_ns = shm_clock_ns() - self._idle_since_ns
        if idle_ns <= _longest_idle_ns:
            return info
        self._is_late = True
        return marked({"host": info} if type(info) is str else info, idle_ns / 1e9)

    cdef int _notify(self, _Span span, bint ends, object info) except -1:
        """Send an event of a span to OSProfiler's notifier, as OSProfiler does."""
        now = _in_profiler["timeutils"].utcnow()
        _in_profiler["notifier"].notify({
            "name": f"{span.name}-{'stop' if ends else 'start'}",
            "base_id": _text(span.trace),
            "trace_id": _text(span),
            "parent_id": _text(span.around),
            "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "info": {"host": self._host} if info is None else info,
        })
        return 0


@cython.final
cdef class _DetachedSpan:
    """A span that is in no context's chain."""

    cdef _Profiler profiler
    cdef _Span span
    cdef int pid

    exemplar = None  # a measured call knows the trace in which it begins

    def stop(self, info=None):
        """End the span. In a forked child of the process where it began, do nothing."""
        if self.pid == getpid():
            self.profiler._tell(self.span, True, info)

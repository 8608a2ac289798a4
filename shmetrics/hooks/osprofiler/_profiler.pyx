# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""OSProfiler's profiler, compiled: what a request passes through, with the meaning it has there.

Where a request is in its trace is a chain of spans, each with the one around it; the outermost two
are the trace itself and what the request came from. A context variable has the innermost one. So
what runs at the same time is never mixed: a thread, a greenlet and an asyncio task have a context
each, and a task goes on from where it was made, whatever becomes of that place meanwhile.

Ids are 16 bytes until somebody wants to read one. What of OSProfiler's may have been replaced (its
functions, its notifier, by a test for example) is looked up in its modules each time.
"""

import socket

from oslo_utils import reflection, uuidutils
from osprofiler import _utils, notifier
from osprofiler import profiler as theirs

from shmetrics._ring import DROP_BAD_VALUE, pack_info, process_count_drop
from shmetrics.hooks.osprofiler.sink import sink_of
from shmetrics.hooks.osprofiler.stack import Stack

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.contextvars cimport PyContextVar_Get, PyContextVar_New, PyContextVar_Set
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyObject_GenericSetAttr
from cpython.ref cimport Py_DECREF, Py_REFCNT
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport getpid

from shmetrics._ring cimport (
    SHM_KIND_SPAN_START,
    SHM_KIND_SPAN_STOP,
    calls_belong_to,
    record_span,
    shm_span,
    shm_trace,
    shm_trace_read,
)


cdef extern from "ids.h" nogil:
    enum:
        SHM_ID_TEXT_BYTES

    bint shm_ids_init() noexcept
    void shm_new_id(uint8_t *id) noexcept
    void shm_id_text(char *text, const uint8_t *id) noexcept


if not shm_ids_init():
    raise MemoryError("no memory to be told of forks")


# ---- what may have been replaced ----------------------------------------------------------------

cdef dict _in_profiler = theirs.__dict__
cdef dict _in_notifier = notifier.__dict__
cdef dict _in_uuidutils = uuidutils.__dict__
cdef object _their_notify = notifier.notify
cdef object _their_uuid = uuidutils.generate_uuid


cdef inline bint _is(dict module, str name, object expected) except -1:
    return PyDict_GetItemWithError(module, name) == <PyObject *>expected


# ---- where spans go -----------------------------------------------------------------------------

# What was chosen for this notifier: see `sink`. _spans are None where it is not our own.
cdef object _notifier = None
cdef object _spans = None
cdef dict _series = None
cdef bint _is_deaf = False


cdef bint _look_for_sink() except -1:
    """Has the above be for the notifier that is set. False: notify() itself was replaced."""
    global _notifier, _spans, _series, _is_deaf
    cdef PyObject *found = PyDict_GetItemWithError(_in_notifier, "__notifier")
    if found == NULL or not _is(_in_notifier, "notify", _their_notify):
        return False
    if found != <PyObject *>_notifier:
        _notifier = <object>found
        _spans, _is_deaf = sink_of(_notifier)
        _series = None if _spans is None else _spans.series
    return True


cdef object _series_of(object name):
    cdef PyObject *found = PyDict_GetItemWithError(_series, name)
    return <object>found if found != NULL else _spans.new_series(str(name))


# ---- one span -----------------------------------------------------------------------------------

@cython.final
@cython.no_gc  # from the inside out: there is no cycle
@cython.freelist(64)
cdef class _Span:
    cdef uint8_t id[16]
    cdef bint is_sound  # that is its id; otherwise it has a text that is no UUID
    cdef bint is_named
    cdef object text  # of its id: as it was given, or None until it is wanted
    cdef object name
    cdef _Span around
    cdef _Span trace  # the outermost; None for itself

    def __dealloc__(self):
        # One after the other, and not each inside the one that lets it go: there may be many.
        cdef _Span around = self.around
        cdef _Span further
        self.around = None
        while around is not None and Py_REFCNT(around) == 1:
            further = around.around
            around.around = None
            around = further


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
    if text is None and _is(_in_uuidutils, "generate_uuid", _their_uuid):
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


# ---- where a context is -------------------------------------------------------------------------

cdef object _none = None
cdef object _profiler = PyContextVar_New("shmetrics.profiler", <PyObject *>_none)
cdef object _innermost = PyContextVar_New("shmetrics.span", <PyObject *>_none)


cdef inline object _value(object variable):
    cdef PyObject *found = NULL
    PyContextVar_Get(variable, NULL, &found)
    value = <object>found
    Py_DECREF(value)
    return value


cdef uint64_t _n_profilers = 0  # in this process: most of the time there are none


cdef bint _trace_of_context(shm_trace *trace) noexcept:
    """What a call that begins here belongs to: see calls_belong_to()."""
    cdef _Span span
    if _n_profilers == 0:
        return False
    span = _value(_innermost)
    if span is None or not span.trace.is_sound:
        return False
    memcpy(trace.id, span.trace.id, sizeof(trace.id))
    memset(trace.span, 0, sizeof(trace.span))
    if span.is_sound:
        memcpy(trace.span, span.id + 8, sizeof(trace.span))
    return True


cdef class _Profiler:
    """A request's trace, and where in it each of the contexts is that take part."""

    cdef dict __dict__
    cdef bint _is_altered  # it may have a start() of another's: a subclass's, or a test's
    cdef public object hmac_key
    cdef public object _host
    cdef object _about_host  # what every start and stop says, made ready for the lane
    cdef _Span _trace
    cdef _Span _last  # where it was last: for those who have it from another context

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
        self._about_host = pack_info({"host": self._host})
        self._trace = _new_span(None, base_id or None)
        self._last = _new_span(self._trace, parent_id or _text(self._trace))

    def __setattr__(self, name, value):
        self._is_altered = True
        PyObject_GenericSetAttr(self, name, value)

    cdef _Span _here(self):
        cdef _Span span = _value(_innermost)
        return span if span is not None and span.trace is self._trace else self._last

    cdef int _go(self, _Span to) except -1:
        cdef _Span span = _value(_innermost)
        self._last = to
        if span is not None and span.trace is self._trace:
            PyContextVar_Set(_innermost, to)
        return 0

    # ---- what OSProfiler's has ------------------------------------------------------------------

    def get_shorten_id(self, uuid_id):
        """The 64 bits of an id by which some storages know it, in hexadecimal digits."""
        return format(_utils.shorten_id(uuid_id), "x")

    def get_base_id(self):
        """The id of the trace."""
        return _text(self._trace)

    def get_parent_id(self):
        """The id of what is around the innermost span."""
        return _text(self._here().around)

    def get_id(self):
        """The id of the innermost span."""
        return _text(self._here())

    def start(self, name, info=None):
        """A span begins, and is the innermost one. info: what is known of it, a dictionary."""
        self._start(name, info)

    def stop(self, info=None):
        """The innermost span ends. If there is none, nothing happens."""
        self._stop(info)

    def aside(self, name, info, within=None):
        """A span that begins here, below the innermost one, and becomes the innermost of no
        context: it may end whenever and wherever it likes. within: another such span that contains
        it, if nothing else has begun in between. See shmetrics/hooks/detached.py."""
        cdef _Aside aside = _Aside.__new__(_Aside)
        cdef _Span around = self._here()
        if type(within) is _Aside and (<_Aside>within).span.around is around:
            around = (<_Aside>within).span
        aside.profiler = self
        aside.pid = getpid()
        aside.span = _new_span(around, None)
        aside.span.name = name
        self._tell(aside.span, False, info)
        return aside

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
        self._go(_new_span(self._here(), text))

    def _leave(self):
        cdef _Span around = self._here().around
        if around is self._trace:
            raise IndexError("the trace itself is not left")
        self._go(around)

    def _give_name(self, name):
        cdef _Span span = self._here()
        span.name = name
        span.is_named = True

    def _take_name(self):
        cdef _Span span = self._here()
        span.is_named = False

    # ---- how ------------------------------------------------------------------------------------

    cdef int _start(self, object name, object info) except -1:
        cdef _Span span = _new_span(self._here(), None)
        span.name = name
        span.is_named = True
        self._go(span)
        return self._tell(span, False, info)

    cdef int _stop(self, object info) except -1:
        cdef _Span span = self._here()
        if span.is_named:
            try:
                self._tell(span, True, info)
            finally:
                self._go(span.around)
        return 0

    cdef int _tell(self, _Span span, bint ends, object info) except -1:
        """Says that a span begins or ends, to whoever is to be told."""
        if info:
            info["host"] = self._host
        else:
            info = None
        if not _look_for_sink():
            self._notify(span, ends, info)
        elif _spans is not None:
            self._record(span, ends, info)
        elif not _is_deaf:
            self._notify(span, ends, info)
        return 0

    cdef int _record(self, _Span span, bint ends, object info) except -1:
        """Into the lane. Never raises: what cannot be kept is counted."""
        cdef shm_span record
        cdef bint kept = False
        record.kind = <uint8_t>(SHM_KIND_SPAN_STOP if ends else SHM_KIND_SPAN_START)
        memcpy(record.id, span.id, sizeof(record.id))
        memcpy(record.trace, span.trace.id, sizeof(record.trace))
        memcpy(record.parent, span.around.id, sizeof(record.parent))
        try:
            if span.is_sound and span.trace.is_sound and span.around.is_sound:
                if info is None:
                    info = self._about_host
                elif type(info) is not dict:
                    info = dict(info)
                record_span(_series_of(span.name), &record, info)
                kept = True
        except Exception:
            pass
        if not kept:
            process_count_drop(DROP_BAD_VALUE)
        return 0

    cdef int _notify(self, _Span span, bint ends, object info) except -1:
        """To OSProfiler's notifier, as OSProfiler does."""
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
cdef class _Aside:
    """A span that is in the chain of no context."""

    cdef _Profiler profiler
    cdef _Span span
    cdef int pid

    exemplar = None  # a call that is measured knows the trace in which it begins

    def stop(self, info=None):
        """It ends. A forked child says nothing of what its parent has begun."""
        if self.pid == getpid():
            self.profiler._tell(self.span, True, info)


# ---- the functions of osprofiler.profiler -------------------------------------------------------

cdef int _begin(object name, object info) except -1:
    cdef _Profiler profiler = None if _n_profilers == 0 else _value(_profiler)
    if profiler is not None:
        if profiler._is_altered:
            profiler.start(name, info=info)
        else:
            profiler._start(name, info)
    return 0


cdef int _end(object info) except -1:
    cdef _Profiler profiler = None if _n_profilers == 0 else _value(_profiler)
    if profiler is not None:
        if profiler._is_altered:
            profiler.stop(info=info)
        else:
            profiler._stop(info)
    return 0


def get():
    """The profiler of this context, or None."""
    return _value(_profiler)


def init(hmac_key, base_id=None, parent_id=None):
    """The profiler of this context: a new one if there is none. hmac_key: signs what is passed on.
    base_id: the trace that it goes on with, below parent_id."""
    cdef _Profiler profiler = _value(_profiler)
    if profiler is None:
        profiler = _Profiler(hmac_key, base_id=base_id, parent_id=parent_id)
        PyContextVar_Set(_profiler, profiler)
        PyContextVar_Set(_innermost, profiler._last)
    return profiler


def clean():
    """From now on this context has no profiler."""
    PyContextVar_Set(_profiler, None)
    PyContextVar_Set(_innermost, None)


def start(name, info=None):
    """A span begins, if this context has a profiler. info: what is known of it, a dictionary."""
    _begin(name, info)


def stop(info=None):
    """The innermost span ends, if there is one."""
    _end(info)


cdef object _our_start = start
cdef object _our_stop = stop


cdef class Trace:
    """A span around a block."""

    cdef public object _name
    cdef public object _info

    def __init__(self, name, info=None):
        self._name = name
        self._info = info

    def __enter__(self):
        if _is(_in_profiler, "start", _our_start):
            _begin(self._name, self._info)
        else:
            theirs.start(self._name, info=self._info)

    def __exit__(self, etype, value, traceback):
        info = None
        if etype and value is not None:
            info = {
                "etype": reflection.get_class_name(etype),
                "message": value.args[0] if value.args else None,
            }
        if _is(_in_profiler, "stop", _our_stop):
            _end(info)
        else:
            theirs.stop(info=info)


# ---- what else is asked -------------------------------------------------------------------------

def is_resting():
    """Whether a span that begins here would go nowhere: this context has no profiler."""
    return ((_n_profilers == 0 or _value(_profiler) is None)
            and _is(_in_profiler, "start", _our_start) and _is(_in_profiler, "stop", _our_stop))


def current_trace():
    """The trace in which this context is, as an exemplar: {"trace_id": 32 digits, "span_id": 16}.
    None: in none, or in one whose id is no UUID."""
    cdef shm_trace trace
    if not _trace_of_context(&trace):
        return None
    return {
        "trace_id": PyBytes_FromStringAndSize(<char *>trace.id, sizeof(trace.id)).hex(),
        "span_id": PyBytes_FromStringAndSize(<char *>trace.span, sizeof(trace.span)).hex(),
    }


def give_calls_their_trace(bint wanted):
    """Whether calls that this process measures are told of the trace in which they begin."""
    if wanted:
        calls_belong_to(_trace_of_context)
    else:
        calls_belong_to(NULL)

# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""OSProfiler's profiler, compiled: what a request passes through, with the meaning it has there.

Where a request is in its trace is a chain of spans, each with the one around it; the outermost two
are the trace itself and what the request came from. A context variable has the innermost one. So
what runs at the same time is never mixed: a thread, a greenlet and an asyncio task have a context
each, and a task goes on from where it was made, whatever becomes of that place meanwhile.

Ids are 16 bytes until somebody wants to read one. What of OSProfiler's may have been replaced (its
functions, its notifier, by a test for example) is heard of at once.
"""

import socket

from oslo_utils import reflection, uuidutils
from osprofiler import _utils, notifier
from osprofiler import profiler as theirs

from shmetrics._ring import process_count_drop
from shmetrics.layout import DROP_BAD_VALUE
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

from shmetrics._ring cimport calls_belong_to, record_span, shm_trace_read
from shmetrics.layout cimport SHM_KIND_SPAN_START, SHM_KIND_SPAN_STOP, shm_span, shm_trace

include "../../emitter/_vectorcall.pxi"

cdef object _our_start = None  # and _our_stop: this module's functions, below
cdef object _our_stop = None

include "_replaced.pxi"
include "_span.pxi"

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


include "_request.pxi"

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


_our_start = start
_our_stop = stop


include "_block.pxi"


# ---- what else is asked -------------------------------------------------------------------------

def is_resting():
    """Whether a span that begins here would go nowhere: this context has no profiler."""
    _look()
    return (_n_profilers == 0 or _value(_profiler) is None) and _start_is_ours and _stop_is_ours


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

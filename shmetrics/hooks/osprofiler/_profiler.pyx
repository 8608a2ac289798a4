# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""OSProfiler's profiler, compiled, with the same behaviour.

The position of a request in its trace is a chain of spans, each with the one around it. The
outermost two are the trace itself and the span that the request came from. A context variable holds
the innermost span. So concurrent work is never mixed: each thread, greenlet and asyncio task has a
context of its own, and a task continues from the span in which it was made, whatever happens to
that span meanwhile.

Ids are 16 bytes, and become texts when they are read. If a function or the notifier of OSProfiler
is replaced, by a test for example, that is noticed at once.
"""

import socket

from oslo_utils import reflection, uuidutils
from osprofiler import _utils, notifier
from osprofiler import profiler as theirs

from shmetrics._ring import process_count_drop
from shmetrics.layout import DROP_BAD_VALUE
from shmetrics.hooks.osprofiler.idle import marked
from shmetrics.hooks.osprofiler.sink import sink_of
from shmetrics.hooks.osprofiler.stack import Stack

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.contextvars cimport PyContextVar_Get, PyContextVar_New, PyContextVar_Set
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject, PyObject_GenericSetAttr
from cpython.ref cimport Py_DECREF, Py_REFCNT
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeASCII
from libc.stdint cimport UINT64_MAX, uint8_t, uint64_t
from libc.string cimport memcpy, memset
from posix.unistd cimport getpid

from shmetrics._ring cimport calls_belong_to, record_span, shm_clock_ns, shm_trace_read
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


cdef uint64_t _n_profilers = 0  # in this process; most of the time there are none


cdef bint _trace_of_context(shm_trace *trace) noexcept:
    """Fill in the trace of this context. Return false if there is none. See calls_belong_to()."""
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
    """Return the profiler of this context, or None."""
    return _value(_profiler)


def init(hmac_key, base_id=None, parent_id=None):
    """Return the profiler of this context, and make it if there is none.

    One that has no open span here is left for a new one, if another trace is to be continued: that
    is what an earlier piece of work has not cleaned.

    Args:
        hmac_key: signs the headers for other services.
        base_id: the trace to continue; None: a new one.
        parent_id: the span below which it continues; None: the trace itself.
    """
    cdef _Profiler profiler = _value(_profiler)
    if profiler is None or (base_id and profiler._rests() and _text(profiler._trace) != base_id):
        profiler = _Profiler(hmac_key, base_id=base_id, parent_id=parent_id)
        PyContextVar_Set(_profiler, profiler)
        PyContextVar_Set(_innermost, profiler._last)
    return profiler


def clean():
    """Remove the profiler from this context."""
    PyContextVar_Set(_profiler, None)
    PyContextVar_Set(_innermost, None)


def start(name, info=None):
    """Begin a span, if this context has a profiler. info: a dictionary about it, or None."""
    _begin(name, info)


def stop(info=None):
    """End the innermost span, if there is one."""
    _end(info)


_our_start = start
_our_stop = stop


include "_block.pxi"


# ---- what else is asked -------------------------------------------------------------------------

def is_resting():
    """Return whether this context has no profiler, so that no span can begin here."""
    _look()
    return (_n_profilers == 0 or _value(_profiler) is None) and _start_is_ours and _stop_is_ours


def keeps_arguments():
    """Return whether spans keep the arguments of functions, and what their errors say."""
    _look()
    return _wanted is None or _wanted.arguments


def current_trace():
    """Return the trace of this context as an exemplar.

    Returns:
        {"trace_id": 32 hexadecimal digits, "span_id": 16 digits}, or None if there is no trace or
        its id is not a UUID.
    """
    cdef shm_trace trace
    if not _trace_of_context(&trace):
        return None
    return {
        "trace_id": PyBytes_FromStringAndSize(<char *>trace.id, sizeof(trace.id)).hex(),
        "span_id": PyBytes_FromStringAndSize(<char *>trace.span, sizeof(trace.span)).hex(),
    }


def mark_after(double seconds):
    """Mark spans that begin in a trace that was idle for longer than this. See `idle`."""
    global _longest_idle_ns
    _longest_idle_ns = <uint64_t>(seconds * 1e9)


def give_calls_their_trace(bint wanted):
    """Give the calls that this process measures the trace in which they begin, or stop that."""
    if wanted:
        calls_belong_to(_trace_of_context)
    else:
        calls_belong_to(NULL)

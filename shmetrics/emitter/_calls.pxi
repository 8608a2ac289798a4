# SPDX-License-Identifier: Apache-2.0
# Calls: a series of them, one between its start and its end, and what it threw. Part of _ring.pyx.

cdef class _ExceptionSeries:
    cdef shm_series series
    cdef CallSeries _parent
    cdef object _text

    def __cinit__(self, CallSeries parent, bytes text):
        self._parent = parent
        self._text = text
        self.series.type = SHM_TYPE_EXCEPTION
        self.series.parent = &parent.series
        _set_text(&self.series, text)


@cython.final
@cython.no_gc  # its series knows of no open call: there is no cycle
@cython.freelist(64)
cdef class OpenCall:
    """One call between its start and its end."""

    cdef vectorcall called
    cdef shm_call call
    cdef bint traced  # known before it begins; from then on the call itself says so
    cdef CallSeries series  # None: there was no memory for a call

    __enter__ = _Itself()
    __exit__ = _Itself()

    def __init__(self):
        raise TypeError("a call is made by its series")


cdef bint (*_current)(shm_trace *trace) noexcept
_current = NULL


cdef int calls_belong_to(bint (*current)(shm_trace *trace) noexcept) except -1:
    """From now on a call that is given no trace belongs to the one that current() knows. NULL: to
    none. current: asked when a call begins; false if there is no trace."""
    global _current
    _current = current
    return 0


cdef inline int _begin(OpenCall call) except -1:
    cdef bint traced = call.traced or (_current != NULL and _current(&call.call.trace))
    if call.series is not None and shm_emit_call_start(
            shm_process_producer(), &call.series.series, &call.call) == SHM_ATTENTION:
        _attend()
    call.call.traced = traced
    return 0


cdef inline int _finish(OpenCall call, shm_series *thrown) except -1:
    if call.series is not None and shm_emit_call_end(
            shm_process_producer(), &call.series.series, &call.call, thrown) == SHM_ATTENTION:
        _attend()
    return 0


cdef int _finish_raised(OpenCall call, object exception) except -1:
    """exception: the name of its class."""
    cdef _ExceptionSeries thrown = None
    if call.series is not None:
        thrown = call.series._thrown(exception)
    return _finish(call, NULL if thrown is None else &thrown.series)


cdef object _entered_or_left(PyObject *call, PyObject *const *args, size_t n_args_f,
                             PyObject *names):
    """An open call's __enter__ if there are no arguments, its __exit__ if there are three."""
    cdef Py_ssize_t n_args = PyVectorcall_NARGS(n_args_f)
    if n_args == 0 and names == NULL:
        _begin(<OpenCall>call)
        return <OpenCall>call
    if n_args != 3 or names != NULL:
        raise TypeError("an open call is entered and left, not called")
    if <object>args[0] is None:
        _finish(<OpenCall>call, NULL)
    else:
        _finish_raised(<OpenCall>call, _name(<object>args[0]))
    return None


cdef object _name(object kind):
    """The name of a class of exceptions; what has no name is counted where it is used."""
    try:
        kind = kind.__name__
    except Exception:
        pass
    return kind


cdef OpenCall _no_call = OpenCall.__new__(OpenCall)
_no_call.called = _entered_or_left
shm_call_through(OpenCall, <char *>&_no_call.called - <char *><PyObject *>_no_call)


cdef OpenCall _new_call(CallSeries series):
    cdef OpenCall call = OpenCall.__new__(OpenCall)
    call.called = _entered_or_left
    call.series = series
    return call


ctypedef PyObject *(*may_fail)(CallSeries) noexcept


cdef inline OpenCall _open_call(CallSeries series):
    """A call that has not begun. Without an exception on its way, which would cost every call."""
    cdef PyObject *made = (<may_fail>_new_call)(series)
    if made == NULL:
        PyErr_Clear()
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        return _no_call
    cdef OpenCall call = <OpenCall>made
    Py_DECREF(call)
    return call


cdef class CallSeries(Series):
    """Calls with one set of labels.

    encode: exception class name to entry payload; None where that class is not to be told apart.
    """

    cdef dict _exceptions
    cdef object _encode

    def __init__(self, Family family, bytes text, encode):
        self._exceptions = {}
        self._encode = encode

    def __call__(self):
        """A context manager around one call."""
        return _open_call(self)

    def traced(self, exemplar):
        """The same around a call that belongs to this trace."""
        cdef OpenCall call = _open_call(self)
        if exemplar is not None:
            call.traced = _trace(exemplar, &call.call.trace)
        return call

    def start(self, exemplar=None):
        """Begins a call; the result is for end(). exemplar: the trace that it belongs to."""
        cdef OpenCall call = _open_call(self) if exemplar is None else self.traced(exemplar)
        _begin(call)
        return call

    def end(self, call, exception=None):
        """Ends a call of start(), on the series where it began.

        exception: the name of its class if one was raised.
        """
        if isinstance(call, OpenCall):
            if exception is None:
                _finish(<OpenCall>call, NULL)
            else:
                _finish_raised(<OpenCall>call, exception)
        else:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)

    cdef _ExceptionSeries _thrown(self, object exception):
        """The exceptions of one class. None, and counted, if that is no name of one."""
        cdef _ExceptionSeries thrown = None
        cdef bytes text
        try:
            if not isinstance(exception, str):
                raise TypeError("not the name of a class")
            thrown = self._exceptions.get(exception)
            if thrown is None:
                text = self._encode(exception)
                thrown = _ExceptionSeries(self, text)
                if text is not None:
                    self._exceptions[exception] = thrown
        except MemoryError:
            shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        except Exception:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_LABELS, 1)
        return thrown

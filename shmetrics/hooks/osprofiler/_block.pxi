# SPDX-License-Identifier: Apache-2.0
# A span around a block: `with Trace(name):`. Part of _profiler.pyx.

cdef extern from *:
    """
    /* Have this function make the instances of a type, but not those of derived types. */
    static void shm_make_through(PyObject *type, vectorcallfunc make)
    {
        ((PyTypeObject *)type)->tp_vectorcall = make;
    }
    /* Return false for an instance of a derived type with a __call__ of its own. */
    static int shm_is_called_through(PyObject *instance)
    {
        return Py_TYPE(instance)->tp_call == PyVectorcall_Call;
    }
    """
    bint shm_is_called_through(object instance) noexcept
    void shm_make_through(object type, vectorcall make) noexcept


def _bound(itself, block):
    return lambda *args: itself(block, *args)


cdef class _ItselfOrBound(_Itself):
    def __get__(self, instance, owner):
        if instance is None or shm_is_called_through(instance):
            return self if instance is None else instance
        return _bound(self, instance)


@cython.freelist(16)
cdef class Trace:
    """A span around a block."""

    cdef vectorcall called
    cdef public object _name
    cdef public object _info

    __enter__ = _ItselfOrBound()
    __exit__ = _ItselfOrBound()

    def __cinit__(self, *_, **__):
        self.called = _entered_or_left

    def __init__(self, name, info=None):
        self._name = name
        self._info = info


cdef int _enter(Trace trace) except -1:
    _look()
    if _start_is_ours:
        _begin(trace._name, trace._info)
    else:
        theirs.start(trace._name, info=trace._info)
    return 0


cdef int _leave(object raised, object error) except -1:
    info = None
    if raised and error is not None:
        info = {
            "etype": reflection.get_class_name(raised),
            "message": error.args[0] if error.args else None,
        }
    _look()
    if _stop_is_ours:
        _end(info)
    else:
        theirs.stop(info=info)
    return 0


cdef object _entered_or_left(PyObject *trace, PyObject *const *args, size_t n_args_f,
                             PyObject *names):
    """Enter a block if there are no arguments, and leave it if there are three."""
    cdef Py_ssize_t n_args = PyVectorcall_NARGS(n_args_f)
    if n_args == 0 and names == NULL:
        _enter(<Trace>trace)
    elif n_args == 3 and names == NULL:
        _leave(<object>args[0], <object>args[1])
    else:
        raise TypeError("a block is entered and left, not called")
    return None


cdef object _new_trace(PyObject *type, PyObject *const *args, size_t n_args_f, PyObject *names):
    """Make a Trace. Trace(name), Trace(name, info) and Trace(name, info=info) are fast."""
    cdef Py_ssize_t n_args = PyVectorcall_NARGS(n_args_f)
    cdef Py_ssize_t n = n_args
    cdef Trace trace = Trace.__new__(Trace)
    if names != NULL and <tuple>names == ("info",):
        n += 1
    elif names != NULL:
        n = 0
    if n_args > 0 and (n == 1 or n == 2):
        trace._name = <object>args[0]
        trace._info = <object>args[1] if n == 2 else None
    else:
        keywords = () if names == NULL else <tuple>names
        values = [<object>args[i] for i in range(n_args + len(keywords))]
        trace.__init__(*values[:n_args], **dict(zip(keywords, values[n_args:])))
    return trace


cdef Trace _any = Trace("")
shm_call_through(Trace, <char *>&_any.called - <char *><PyObject *>_any)
shm_make_through(Trace, _new_trace)

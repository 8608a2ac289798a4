# SPDX-License-Identifier: Apache-2.0
# The blocks of counters, gauges and histograms, each of which is also a decorator; and runs of what
# is decorated. They are as cheap as calls: see _vectorcall.pxi. Part of _ring.pyx.

cdef inline double _seconds(uint64_t ns) noexcept:
    return <double>ns * 1e-9


@cython.final
@cython.no_gc
cdef class _Outer:
    """The begins of the entries of a block that are around its latest one: a stack."""

    cdef uint64_t *begun_ns
    cdef size_t n
    cdef size_t room

    def __dealloc__(self):
        PyMem_Free(self.begun_ns)

    cdef bint push(self, uint64_t ns) noexcept:
        """Return false if there is no memory for one more."""
        cdef uint64_t *larger
        if self.n == self.room:
            larger = <uint64_t *>PyMem_Realloc(
                self.begun_ns, (2 * self.room + 4) * sizeof(uint64_t))
            if larger == NULL:
                return False
            self.begun_ns = larger
            self.room = 2 * self.room + 4
        self.begun_ns[self.n] = ns
        self.n += 1
        return True


@cython.final
@cython.no_gc_clear  # a block that runs needs its series until it ends
@cython.freelist(64)
cdef class Block:
    """A block around what is measured. Where it is entered again before it is left, both count."""

    cdef vectorcall called
    cdef uint64_t begun_ns
    cdef size_t depth  # how often it has been entered and not left
    cdef Series series  # None: it records nothing
    cdef object exceptions  # the classes that count
    cdef _Outer outer  # None, unless it is entered again before it is left

    __enter__ = _Itself()
    __exit__ = _Itself()

    def __init__(self):
        raise TypeError("a block is made by its series")

    def anew(self):
        """Return a block of the same kind that has not been entered."""
        return _like(self)

    def around(self, function):
        """Return what runs a function: see Runs."""
        return _runs(self, function)

    def labels(self, *_, **__):
        """Count wrong labels: a block that needs them is an UnlabelledTimer."""
        if _refuse_labels is not None:
            _refuse_labels(None if self.series is None else self.series._family)


cdef Block _no_block = Block.__new__(Block)
_no_block.called = _nothing
shm_call_through(Block, <char *>&_no_block.called - <char *><PyObject *>_no_block)
no_block = _no_block  # for children that record nothing


cdef Block _new_block(Series series, vectorcall called, object exceptions):
    cdef Block block = Block.__new__(Block)
    block.called = called
    block.series = series
    block.exceptions = exceptions
    return block


ctypedef PyObject *(*block_or_null)(Series, vectorcall, object) noexcept


cdef inline object _block(Series series, vectorcall called, object exceptions):
    """Return a block. Without memory for it, the result records nothing, and that is counted."""
    cdef PyObject *made = (<block_or_null>_new_block)(series, called, exceptions)
    if made == NULL:
        PyErr_Clear()
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
        return _no_block
    block = <object>made
    _let_go(made)
    return block


cdef object _like(Block block):
    if block.called == _nothing:
        return block
    return _block(block.series, block.called, block.exceptions)


# ---- what a block does ----------------------------------------------------------------------

cdef int _keep_begun(Block block) except -1:
    """Keep when the entry began that is the latest one until now.

    Without memory for that it will seem as short as the one within it, and a drop is counted.
    """
    cdef bint is_kept = False
    try:
        if block.outer is None:
            block.outer = _Outer()
        is_kept = block.outer.push(block.begun_ns)
    except MemoryError:
        pass
    if not is_kept:
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    return 0


cdef inline int _begin_time(Block block) except -1:
    if block.depth:
        _keep_begun(block)
    block.depth += 1
    block.begun_ns = shm_clock_ns()
    return 0


cdef inline bint _end_time(Block block, double *seconds) noexcept:
    """End the latest entry of a block. Return false if it has none."""
    cdef uint64_t now_ns = shm_clock_ns()
    if block.depth == 0:
        return False
    block.depth -= 1
    seconds[0] = _seconds(now_ns - block.begun_ns)
    if block.outer is not None and block.outer.n == block.depth and block.depth:
        block.outer.n -= 1
        block.begun_ns = block.outer.begun_ns[block.outer.n]
    return True


cdef int _end_observed(Block block) except -1:
    cdef double seconds
    if _end_time(block, &seconds) and shm_emit_observe(
            shm_process_producer(), &block.series.series, seconds) == SHM_ATTENTION:
        _attend()
    return 0


cdef int _end_set(Block block) except -1:
    cdef double seconds
    if _end_time(block, &seconds):
        (<GaugeSeries>block.series)._set(seconds)
    return 0


cdef int _end_counted(Block block, object kind) except -1:
    """Count an exception, if it is of the classes that count."""
    cdef bint counts = False
    try:
        counts = issubclass(kind, block.exceptions)
    except Exception:  # no class of exceptions; the block's own exception is what matters
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
    if counts and shm_emit_add(
            shm_process_producer(), &block.series.series, 1.0) == SHM_ATTENTION:
        _attend()
    return 0


# ---- how it is called: without arguments to enter, with three to leave, with one to decorate ----

cdef inline bint _enters(size_t n_args_f, PyObject *names) noexcept:
    return PyVectorcall_NARGS(n_args_f) == 0 and names == NULL


cdef inline bint _leaves(size_t n_args_f, PyObject *names) noexcept:
    return PyVectorcall_NARGS(n_args_f) == 3 and names == NULL


cdef object _timed(PyObject *block, PyObject *const *args, size_t n_args_f, PyObject *names):
    if _enters(n_args_f, names):
        _begin_time(<Block>block)
        return <Block>block
    if not _leaves(n_args_f, names):
        return _decorated(<object>block, args, n_args_f, names)
    _end_observed(<Block>block)
    return None


cdef object _timed_last(PyObject *block, PyObject *const *args, size_t n_args_f, PyObject *names):
    if _enters(n_args_f, names):
        _begin_time(<Block>block)
        return <Block>block
    if not _leaves(n_args_f, names):
        return _decorated(<object>block, args, n_args_f, names)
    _end_set(<Block>block)
    return None


cdef object _tracked(PyObject *block, PyObject *const *args, size_t n_args_f, PyObject *names):
    if _enters(n_args_f, names):
        (<GaugeSeries>(<Block>block).series)._add(1.0)
        return <Block>block
    if not _leaves(n_args_f, names):
        return _decorated(<object>block, args, n_args_f, names)
    (<GaugeSeries>(<Block>block).series)._add(-1.0)
    return None


cdef object _counted(PyObject *block, PyObject *const *args, size_t n_args_f, PyObject *names):
    if _enters(n_args_f, names):
        return <Block>block
    if not _leaves(n_args_f, names):
        return _decorated(<object>block, args, n_args_f, names)
    if <object>args[0] is not None:
        _end_counted(<Block>block, <object>args[0])
    return None


cdef object _nothing(PyObject *block, PyObject *const *args, size_t n_args_f, PyObject *names):
    if _enters(n_args_f, names):
        return <Block>block
    return None if _leaves(n_args_f, names) else _decorated(<object>block, args, n_args_f, names)


cdef object _decorate = None


def decorate_by(decorate):
    """Set what makes decorated functions.

    Args:
        decorate: returns a function with each of its runs in a block, from the function and a block
            that is like those.
    """
    global _decorate
    _decorate = decorate


cdef object _decorated(object block, PyObject *const *args, size_t n_args_f, PyObject *names):
    """Return a function with each of its runs in a block of this kind.

    An object that is not callable is returned unchanged, and counted as a bad value.
    """
    cdef object function
    if PyVectorcall_NARGS(n_args_f) != 1 or names != NULL:
        raise TypeError("a block is entered and left, or decorates one function")
    function = <object>args[0]
    try:
        if _decorate is not None:
            function = _decorate(function, block)
    except MemoryError:
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    except Exception:
        shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
    return function


# ---- runs of a decorated function -----------------------------------------------------------

@cython.final
cdef class Runs:
    """The runs of one function, each in a block of its own.

    It is called with the arguments of the function, as a tuple and a dictionary.
    """

    cdef vectorcall called
    cdef object block  # a Block or an OpenCall, like which each run has one
    cdef object function

    def __init__(self):
        raise TypeError("runs are made by a block")


cdef extern from *:
    """
    /* Calls a cheap block, which has its function where Python looks for it. */
    static inline int shm_call_block(PyObject *block, PyObject *const *args, size_t n_args)
    {
        PyObject *result = PyVectorcall_Function(block)(block, args, n_args, NULL);
        if (!result)
            return -1;
        Py_DECREF(result);
        return 0;
    }

    /* Leaves a block with the exception that is set, and then has it set again. */
    static int shm_leave_raised(PyObject *block)
    {
        PyObject *kind, *value, *trace;
        PyErr_Fetch(&kind, &value, &trace);
        PyObject *args[3] = {kind, value ? value : Py_None, trace ? trace : Py_None};
        if (shm_call_block(block, args, 3) < 0) { /* an interrupt: it is the one that goes on */
            Py_XDECREF(kind);
            Py_XDECREF(value);
            Py_XDECREF(trace);
            return -1;
        }
        PyErr_Restore(kind, value, trace);
        return -1;
    }

    /* Runs a function within a block. */
    static PyObject *shm_run_within(PyObject *block, PyObject *function, PyObject *args,
                                    PyObject *by_name)
    {
        PyObject *const none[3] = {Py_None, Py_None, Py_None};
        if (shm_call_block(block, NULL, 0) < 0)
            return NULL;
        PyObject *result = PyObject_Call(function, args, by_name);
        if (!result) {
            shm_leave_raised(block);
            return NULL;
        }
        if (shm_call_block(block, none, 3) < 0)
            Py_CLEAR(result);
        return result;
    }
    """
    object shm_run_within(object block, object function, PyObject *args, PyObject *by_name)


cdef object _run(PyObject *runs, PyObject *const *args, size_t n_args_f, PyObject *names):
    cdef object block
    if PyVectorcall_NARGS(n_args_f) != 2 or names != NULL:
        raise TypeError("the arguments are a tuple and a dictionary")
    block = (<Runs>runs).block
    block = _like(<Block>block) if type(block) is Block else _call_like(<OpenCall>block)
    return shm_run_within(block, (<Runs>runs).function, args[0], args[1])


cdef Runs _no_runs = Runs.__new__(Runs)
shm_call_through(Runs, <char *>&_no_runs.called - <char *><PyObject *>_no_runs)


cdef Runs _runs(object block, object function):
    cdef Runs runs = Runs.__new__(Runs)
    runs.called = _run
    runs.block = block
    runs.function = function
    return runs

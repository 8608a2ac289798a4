# SPDX-License-Identifier: Apache-2.0
"""The floors: compiled methods that do nothing, only read the clock, or only read files.

`ClockedBlock` is what shmetrics has for an open call, with its layout, its free list and its way to
be called (see OpenCall in shmetrics/_ring.pyx), and without the recording. `OrdinaryBlock` does the
same in the ordinary way, with methods.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from posix.unistd cimport pread


cdef extern from "lane/clock.h" nogil:
    uint64_t shm_clock_ns() noexcept


cdef extern from "emit/producer.h" nogil:
    cdef struct shm_call:
        uint64_t start_ns


cdef extern from *:
    """
    static void call_through(PyObject *type, Py_ssize_t offset)
    {
        ((PyTypeObject *)type)->tp_call = PyVectorcall_Call;
        ((PyTypeObject *)type)->tp_vectorcall_offset = offset;
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    void call_through(object type, Py_ssize_t offset) noexcept
    Py_ssize_t PyVectorcall_NARGS(size_t n_args_f) noexcept

ctypedef object (*vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *)


cdef class Nothing:
    """Has the methods of the instruments, with the same signatures, and none of the work."""

    def inc(self, amount=1.0, exemplar=None):
        pass

    def observe(self, amount, exemplar=None):
        pass

    def __call__(self):
        return Block.__new__(Block)


cdef class Reader:
    """Reads files from their beginning, and throws away what they say: the kernel's own part.

    Args:
        fds: their descriptors, as an array of C ints.
    """

    cdef const int[::1] fds
    cdef char buffer[65536]

    def __cinit__(self, const int[::1] fds):
        self.fds = fds

    def read(self):
        """Read each once. Raises OSError if one cannot be read."""
        for i in range(self.fds.shape[0]):
            if pread(self.fds[i], self.buffer, sizeof(self.buffer), 0) < 0:
                raise OSError(f"descriptor {self.fds[i]} cannot be read")


@cython.freelist(64)
cdef class Block:
    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        pass


cdef class Ordinary:
    cdef readonly uint64_t duration_ns

    def __call__(self):
        cdef OrdinaryBlock block = OrdinaryBlock.__new__(OrdinaryBlock)
        block.series = self
        return block


@cython.final
@cython.freelist(64)
cdef class OrdinaryBlock:
    cdef shm_call call
    cdef Ordinary series

    def __enter__(self):
        self.call.start_ns = shm_clock_ns()
        return self

    def __exit__(self, kind, value, traceback):
        self.series.duration_ns += shm_clock_ns() - self.call.start_ns


cdef class Clocked:
    cdef readonly uint64_t duration_ns

    def __call__(self):
        cdef ClockedBlock block = ClockedBlock.__new__(ClockedBlock)
        block.called = _entered_or_left
        block.series = self
        return block


cdef class _Itself:
    def __get__(self, instance, owner):
        return self if instance is None else instance


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class ClockedBlock:
    cdef vectorcall called
    cdef shm_call call
    cdef Clocked series

    __enter__ = _Itself()
    __exit__ = _Itself()


cdef object _entered_or_left(PyObject *block, PyObject *const *args, size_t n_args_f,
                             PyObject *names):
    if PyVectorcall_NARGS(n_args_f) == 0:
        (<ClockedBlock>block).call.start_ns = shm_clock_ns()
        return <ClockedBlock>block
    (<ClockedBlock>block).series.duration_ns += (
        shm_clock_ns() - (<ClockedBlock>block).call.start_ns)
    return None


cdef ClockedBlock _one = ClockedBlock.__new__(ClockedBlock)
call_through(ClockedBlock, <char *>&_one.called - <char *><PyObject *>_one)

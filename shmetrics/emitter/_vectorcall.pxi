# SPDX-License-Identifier: Apache-2.0
# Blocks that cost little: what `with` does besides what is done in it. Part of each module in which
# there are any. (PEP 590: a function is given its arguments where they are, and no tuple of them.)

cdef extern from *:
    """
    /* Has instances of a type called through the vectorcallfunc at offset in each of them. */
    static void shm_call_through(PyObject *type, Py_ssize_t offset)
    {
        ((PyTypeObject *)type)->tp_call = PyVectorcall_Call;
        ((PyTypeObject *)type)->tp_vectorcall_offset = offset;
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    void shm_call_through(object type, Py_ssize_t offset) noexcept
    object PyVectorcall_Call(object called, tuple args, PyObject *keywords)
    Py_ssize_t PyVectorcall_NARGS(size_t n_args_f) noexcept

ctypedef object (*vectorcall)(PyObject *, PyObject *const *, size_t, PyObject *)


cdef class _Itself:
    """What such a block has for __enter__ and __exit__: itself, and it knows which one is meant.

    `with` looks both up at once and then calls them. If they were methods it would make two objects
    to bind them, which takes longer than all that is recorded.
    """

    def __get__(self, instance, owner):
        return self if instance is None else instance

    def __call__(self, block, *args):
        return PyVectorcall_Call(block, args, NULL)

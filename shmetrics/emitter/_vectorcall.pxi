# SPDX-License-Identifier: Apache-2.0
# Cheap blocks: entering and leaving one with `with` makes no object. Included in each module that
# has such blocks. (PEP 590, vectorcall: a function gets its arguments in place, without a tuple.)

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
    """The __enter__ and __exit__ of a cheap block: the block itself, which knows which is called.

    `with` looks both up first and then calls them. As methods they would need two bound objects,
    and making these takes longer than the recording.
    """

    def __get__(self, instance, owner):
        return self if instance is None else instance

    def __call__(self, block, *args):
        return PyVectorcall_Call(block, args, NULL)

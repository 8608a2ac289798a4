# SPDX-License-Identifier: Apache-2.0
# The children of a family by their label values, and labels(), which looks one up without making a
# tuple, a list or a dictionary. Part of _ring.pyx.

cdef extern from "Python.h":
    ctypedef struct PyASCIIObject:
        Py_hash_t hash

    bint _is_text "PyUnicode_CheckExact"(PyObject *object) noexcept nogil
    Py_hash_t _hashed "PyObject_Hash"(PyObject *object) noexcept
    Py_ssize_t _n_items "PyTuple_GET_SIZE"(PyObject *tuple) noexcept nogil
    PyObject *_item "PyTuple_GET_ITEM"(PyObject *tuple, Py_ssize_t at) noexcept nogil
    void _keep "Py_INCREF"(PyObject *object) noexcept
    void _let_go "Py_DECREF"(PyObject *object) noexcept

ctypedef object (*fast_method)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *)

cdef extern from *:
    """
    #define shm_items(tuple) (((PyTupleObject *)(tuple))->ob_item)

    /* Whether two texts are equal. Both have been hashed: they are in their final form. Apart from
     * the search, because most texts are found by their address, and it keeps its registers. */
    static __attribute__((noinline)) int shm_same_text(PyObject *one, PyObject *other)
    {
        Py_ssize_t n = PyUnicode_GET_LENGTH(one);
        return n == PyUnicode_GET_LENGTH(other) && PyUnicode_KIND(one) == PyUnicode_KIND(other) &&
               !memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other),
                       (size_t)n * PyUnicode_KIND(one));
    }

    typedef PyObject *(*shm_method)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);

    /* Gives a type a method that gets its arguments in place. text: its signature and docstring. */
    static int shm_add_method(PyObject *type, const char *name, shm_method method,
                              const char *text)
    {
        static PyMethodDef added; /* one per module is enough, and it has to stay */
        added = (PyMethodDef){name, (PyCFunction)(void (*)(void))method,
                              METH_FASTCALL | METH_KEYWORDS, text};
        PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)type, &added);
        if (!descriptor)
            return -1;
        int failed = PyDict_SetItemString(((PyTypeObject *)type)->tp_dict, name, descriptor);
        Py_DECREF(descriptor);
        PyType_Modified((PyTypeObject *)type);
        return failed;
    }
    """
    PyObject *const *shm_items(PyObject *tuple) noexcept nogil
    bint shm_same_text(PyObject *one, PyObject *other) noexcept nogil
    int shm_add_method(object type, const char *name, fast_method method,
                       const char *text) except -1

cdef enum:
    _FIRST_SLOTS = 8  # a power of two, as all numbers of slots are
    _MOST_NAMED = 32  # labels that are put in order without memory of their own
    _MOST_RULED = 4096  # enough for a process that talks to a few thousand servers


cdef struct _Slot:
    Py_hash_t hash
    PyObject *key  # a tuple of texts; NULL: the slot is free
    PyObject *child


cdef struct _Table:
    # Open addressing: a key is in the first free slot from that of its hash on. There is always a
    # free one, so that each search ends.
    _Slot *slots  # NULL: the table is empty
    size_t mask  # the number of slots, less one
    size_t n


cdef inline Py_hash_t _hash(PyObject *const *values, Py_ssize_t n) noexcept:
    """Return the hash of label values, which have hashed themselves; -1 if one is not a text."""
    cdef uint64_t hash = 0
    cdef Py_hash_t one
    cdef Py_ssize_t i
    for i in range(n):
        if not _is_text(values[i]):
            return -1
        one = (<PyASCIIObject *>values[i]).hash
        if one == -1:
            one = _hashed(values[i])
        hash = (hash + <uint64_t>one) * <uint64_t>0x9E3779B97F4A7C15
    return <Py_hash_t>((hash ^ hash >> 32) >> 1)


cdef inline _Slot *_slot(const _Table *table, Py_hash_t hash, PyObject *const *values,
                         Py_ssize_t n) noexcept nogil:
    """Return the slot of these values in a table that is not empty; a free one if it has none."""
    cdef size_t at = <size_t>hash & table.mask
    cdef _Slot *slot
    cdef Py_ssize_t i
    while True:
        slot = &table.slots[at]
        if slot.key == NULL:
            return slot
        if slot.hash == hash and _n_items(slot.key) == n:
            i = 0
            while i < n and (_item(slot.key, i) == values[i]
                             or shm_same_text(_item(slot.key, i), values[i])):
                i += 1
            if i == n:
                return slot
        at = (at + 1) & table.mask


cdef bint _grow(_Table *table) noexcept:
    """Make room for one more key. Return false if there is no memory for it."""
    cdef size_t n_slots = table.mask + 1 if table.slots != NULL else 0
    cdef size_t n_wanted = n_slots
    cdef size_t i, at
    cdef _Slot *slots
    if 3 * (table.n + 1) <= 2 * n_slots:
        return True
    n_wanted = 2 * n_slots if n_slots else _FIRST_SLOTS
    slots = <_Slot *>PyMem_Calloc(n_wanted, sizeof(_Slot))
    if slots == NULL:
        return False
    for i in range(n_slots):
        if table.slots[i].key != NULL:
            at = <size_t>table.slots[i].hash & (n_wanted - 1)
            while slots[at].key != NULL:
                at = (at + 1) & (n_wanted - 1)
            slots[at] = table.slots[i]
    PyMem_Free(table.slots)
    table.slots = slots
    table.mask = n_wanted - 1
    return True


cdef void _free_slot(_Table *table, _Slot *slot) noexcept:
    """Free a slot, and move up what was put behind it because it was taken."""
    cdef size_t hole = <size_t>(slot - table.slots)
    cdef size_t at = hole
    cdef size_t home
    while True:
        at = (at + 1) & table.mask
        if table.slots[at].key == NULL:
            break
        home = <size_t>table.slots[at].hash & table.mask
        if ((at - home) & table.mask) >= ((at - hole) & table.mask):
            table.slots[hole] = table.slots[at]
            hole = at
    table.slots[hole].key = NULL
    table.n -= 1


cdef void _drop(_Table *table) noexcept:
    """Empty a table. Its texts and children go last, when it is a table again."""
    cdef _Table old = table[0]
    cdef size_t i
    table.slots = NULL
    table.mask = 0
    table.n = 0
    if old.slots == NULL:
        return
    for i in range(old.mask + 1):
        if old.slots[i].key != NULL:
            _let_go(old.slots[i].key)
            _let_go(old.slots[i].child)
    PyMem_Free(old.slots)


# Counts the changes of the label rules of this process: what earlier rules made is of no use.
cdef uint64_t _rules_number = 0


def rules_number():
    """Return the number of the label rules that apply now."""
    return _rules_number


def rules_changed():
    """Have the children of values that a label rule has changed be looked up anew."""
    global _rules_number
    _rules_number += 1


@cython.final
@cython.no_gc  # a key is of texts, and no child knows its family's children: there is no cycle
cdef class Children:
    """The children of a family, by their label values, which are tuples of texts.

    Beside them are those of values that a label rule has changed, by the values as they were given:
    as many as _MOST_RULED, for as long as the rules stay the same.
    """

    cdef _Table own
    cdef _Table ruled
    cdef uint64_t ruled_number  # of the rules that have changed those

    def __dealloc__(self):
        _drop(&self.own)
        _drop(&self.ruled)

    cdef int _put(self, _Table *table, tuple values, object child) except -1:
        """Put a child into a table that has none with these values."""
        cdef Py_ssize_t n = len(values)
        cdef PyObject *const *items = shm_items(<PyObject *>values)
        cdef Py_hash_t hash = _hash(items, n)
        cdef _Slot *slot
        if hash == -1:
            raise TypeError("label values are texts")
        if not _grow(table):
            raise MemoryError
        slot = _slot(table, hash, items, n)
        if slot.key != NULL:
            raise KeyError(values)
        _keep(<PyObject *>values)
        _keep(<PyObject *>child)
        slot.hash = hash
        slot.key = <PyObject *>values
        slot.child = <PyObject *>child
        table.n += 1
        return 0

    def get(self, tuple values not None):
        """Return the child of these values, or None."""
        cdef PyObject *found = _child(
            self, shm_items(<PyObject *>values), len(values))
        return None if found == NULL else <object>found

    def setdefault(self, tuple values not None, child):
        """Return the child of these values, which becomes *child* if there is none."""
        cdef PyObject *found = _own(self, shm_items(<PyObject *>values), len(values))
        if found != NULL:
            return <object>found
        self._put(&self.own, values, child)
        return child

    def put_ruled(self, tuple values not None, child, uint64_t number):
        """Keep the child of values that a label rule has changed.

        Args:
            values: the values before that.
            child: the child of the changed values.
            number: rules_number(), from before the rule was applied.
        """
        cdef PyObject *const *items = shm_items(<PyObject *>values)
        cdef _Slot *slot
        cdef Py_hash_t hash = _hash(items, len(values))
        if number != _rules_number:
            return  # another thread has changed the rules
        if self.ruled_number != number or self.ruled.n >= _MOST_RULED:
            _drop(&self.ruled)
            self.ruled_number = number
        if self.ruled.slots != NULL:
            slot = _slot(&self.ruled, hash, items, len(values))
            if slot.key != NULL:
                return  # another thread was faster
        self._put(&self.ruled, values, child)

    def pop(self, tuple values not None):
        """Take out the child of these values, and return it; None if there is none."""
        cdef PyObject *const *items = shm_items(<PyObject *>values)
        cdef Py_hash_t hash = _hash(items, len(values))
        cdef _Slot *slot
        cdef PyObject *key
        cdef object child = None
        if self.own.slots == NULL or hash == -1:
            return None
        slot = _slot(&self.own, hash, items, len(values))
        if slot.key == NULL:
            return None
        key = slot.key
        child = <object>slot.child
        _free_slot(&self.own, slot)
        _let_go(<PyObject *>child)  # the table's reference
        _let_go(key)
        _drop(&self.ruled)  # some of them may be the same child
        return child

    def all(self):
        """Return the children that there are now, in no order: a list."""
        cdef size_t i
        cdef list found = []
        if self.own.slots != NULL:
            for i in range(self.own.mask + 1):
                if self.own.slots[i].key != NULL:
                    found.append(<object>self.own.slots[i].child)
        return found

    def __iter__(self):
        """Iterate over the label values of the children that there are now."""
        cdef size_t i
        cdef list found = []
        if self.own.slots != NULL:
            for i in range(self.own.mask + 1):
                if self.own.slots[i].key != NULL:
                    found.append(<object>self.own.slots[i].key)
        return iter(found)

    def __len__(self):
        return self.own.n


cdef inline PyObject *_in(const _Table *table, Py_hash_t hash, PyObject *const *values,
                          Py_ssize_t n) noexcept:
    cdef _Slot *slot
    if table.slots == NULL:
        return NULL
    slot = _slot(table, hash, values, n)
    return NULL if slot.key == NULL else slot.child


cdef inline PyObject *_own(Children children, PyObject *const *values, Py_ssize_t n) noexcept:
    cdef Py_hash_t hash = _hash(values, n)
    return NULL if hash == -1 else _in(&children.own, hash, values, n)


cdef PyObject *_ruled(Children children, PyObject *const *values, Py_ssize_t n) noexcept:
    cdef Py_hash_t hash = _hash(values, n)
    if hash == -1 or children.ruled_number != _rules_number:
        return NULL
    return _in(&children.ruled, hash, values, n)


cdef inline PyObject *_child(Children children, PyObject *const *values, Py_ssize_t n) noexcept:
    """Return the child of these values, whose reference is the table's; NULL if there is none."""
    cdef PyObject *found = _own(children, values, n)
    return found if found != NULL else _ruled(children, values, n)


# ---- labels() -------------------------------------------------------------------------------

cdef inline bint _are_in_order(PyObject *names, PyObject *said, Py_ssize_t n) noexcept nogil:
    """Return whether n names are given in the order of the labels, as most are."""
    cdef Py_ssize_t i = 0
    while i < n and _item(said, i) == _item(names, i):
        i += 1
    return i == n


cdef bint _put_in_order(PyObject *names, PyObject *const *values, PyObject *said, Py_ssize_t n,
                        PyObject **ordered) noexcept nogil:
    """Put values that are given by name in the order of the labels.

    Args:
        names: the names of the labels, interned, as the names in a program are.
        values: the values, in the order of said.
        said: the names as they were given, a tuple of as many texts.
        n: how many there are.
        ordered: is filled in.

    Returns:
        False if a label has no value.
    """
    cdef Py_ssize_t i, at
    for i in range(n):
        at = 0
        while _item(said, at) != _item(names, i):
            at += 1
            if at == n:
                return False
        ordered[i] = values[at]
    return True


cdef class Labelled:
    """The base of the instruments: labels(), with a way that is short where the child exists."""

    cdef Children _children
    cdef tuple _names
    cdef object _null

    def __cinit__(self, *_, **__):
        self._children = _no_children
        self._names = ()

    @classmethod
    def __class_getitem__(cls, child):
        return cls

    def __init__(self, Children children not None, tuple names not None, null):
        """Keep what labels() finds.

        Args:
            children: the children.
            names: the names of their labels.
            null: the child that records nothing.
        """
        self._children = children
        self._names = tuple([intern(name) for name in names])
        self._null = null

    def _find(self, values, by_name):
        """Return the child of any values, which is made if it is new. Instruments do this."""
        return self._null


cdef Children _no_children = Children()


cdef object _labels(PyObject *self, PyObject *const *args, Py_ssize_t n_args, PyObject *names):
    cdef PyObject *ordered[_MOST_NAMED]
    cdef PyObject *found = NULL
    cdef PyObject *own = <PyObject *>(<Labelled>self)._names
    cdef Py_ssize_t n
    if names == NULL:
        found = _child((<Labelled>self)._children, args, n_args)
    elif n_args == 0 and _n_items(names) == _n_items(own):
        n = _n_items(own)
        if _are_in_order(own, names, n):
            found = _child((<Labelled>self)._children, args, n)
        elif n <= _MOST_NAMED and _put_in_order(own, args, names, n, ordered):
            found = _child((<Labelled>self)._children, ordered, n)
    if found != NULL:
        return <object>found
    return _found(<Labelled>self, args, n_args, names)


cdef object _found(Labelled self, PyObject *const *args, Py_ssize_t n_args, PyObject *names):
    """Return the child of label values the long way."""
    cdef object found = self._null
    cdef Py_ssize_t i
    cdef dict by_name = {}
    try:
        if names != NULL:
            for i in range(_n_items(names)):
                by_name[<object>_item(names, i)] = <object>args[n_args + i]
        found = self._find(tuple([<object>args[i] for i in range(n_args)]), by_name)
    except MemoryError:
        shm_count_drop(shm_process_producer(), SHM_DROP_NO_MEMORY, 1)
    return found


def add_labels(cls):
    """Give a class of instruments a labels() of its own, which the interpreter calls directly.

    What a class inherits it calls by a longer way. A class whose labels() is another keeps it.
    """
    if cls is not Labelled and not isinstance(cls.labels, type(Labelled.labels)):
        return
    shm_add_method(
        cls,
        b"labels",
        _labels,
        b"""labels($self, /, *labelvalues, **labelkwargs)
--

Return the child with these label values. It is made once and kept.

If the lane has no room for one more child, or the values are too long, the family's
overflow child is returned: its events count, but under the label values `__overflow__`. A
gauge or an observed counter has none: what it would show is dropped and counted.

Args:
    *labelvalues: One value per label, in the order of the label names.
    **labelkwargs: The same by name. Use one way or the other.

Returns:
    The child. If the labels are wrong, a child that records nothing; `status()` counts it
    under `dropped`.
""",
    )


add_labels(Labelled)

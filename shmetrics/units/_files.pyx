# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/units/: the files of one unit, read with kept descriptors."""

import os
from array import array

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from libc.math cimport NAN
from libc.stdint cimport uint32_t, uint64_t
from posix.unistd cimport close

FIELDS = SHM_UNIT_FIELDS
KEYED = SHM_UNIT_KEYED
PRESSURE = SHM_UNIT_PRESSURE
LINES = SHM_UNIT_LINES
IO_STAT = SHM_UNIT_IO_STAT
BLKIO_BYTES = SHM_UNIT_BLKIO_BYTES
BLKIO_COUNTS = SHM_UNIT_BLKIO_COUNTS

# The files of a process that was not asked for them.
NOT_ASKED = SHM_UNIT_NOT_ASKED

# What settle() returns.
SAME = SHM_UNIT_SAME
CHANGED = SHM_UNIT_CHANGED
CAME_OR_WENT = SHM_UNIT_CAME_OR_WENT

# The place of each number in a row of devices().
READ_BYTES = SHM_UNIT_READ_BYTES
WRITTEN_BYTES = SHM_UNIT_WRITTEN_BYTES
READS = SHM_UNIT_READS
WRITES = SHM_UNIT_WRITES

# How many values a form has, if that is not the number of its keys.
_COUNTS = {LINES: 1, PRESSURE: SHM_UNIT_PRESSURES, IO_STAT: 0, BLKIO_BYTES: 0, BLKIO_COUNTS: 0}


def process(const unsigned char[::1] text not None):
    """Return what a /proc/PID/stat says, or None if it is not whole.

    Returns:
        (name, state, parent, user_ticks, system_ticks, threads, start_ticks, virtual_bytes,
        rss_pages); the name as bytes, the state as one character.
    """
    cdef shm_unit_process found
    cdef const char *start
    if text.shape[0] == 0:
        return None
    start = <const char *>&text[0]
    if not shm_unit_process_read(start, <size_t>text.shape[0], &found):
        return None
    return (start[found.name_at:found.name_at + found.name_bytes], chr(<unsigned char>found.state),
            found.parent, found.user_ticks, found.system_ticks, found.threads, found.start_ticks,
            found.virtual_bytes, found.rss_pages)


cdef class Form:
    """The form of a unit's files: what they have, and where their values go in one array.

    Args:
        files: for each file (form, keys, places, divisors): one of the constants above, the keys as
            bytes (a file of fields has one for each, whatever it is), and for each value its index
            in the array and what it is divided by.
        n_counters: the first so many of the array do not fall.
        rest: None, or the indexes of a value that is shown as what another is without it, and of
            that other.

    Raises:
        ValueError: the numbers of values, keys and places do not fit.
    """

    def __cinit__(self, files, uint32_t n_counters, rest=None):
        cdef shm_unit_file *file
        cdef const uint32_t[::1] places
        cdef const double[::1] divisors
        self.n_files = <uint32_t>len(files)
        self.n_counters = n_counters
        self._files = <shm_unit_file *>PyMem_Calloc(self.n_files + 1, sizeof(shm_unit_file))
        self._buffer = <char *>PyMem_Calloc(1, SHM_UNIT_BUFFER_BYTES)
        if self._files == NULL or self._buffer == NULL:
            raise MemoryError
        kept = []
        used = []
        for i, (form, keys, to, by) in enumerate(files):
            names = tuple(keys)
            if not _COUNTS.get(form, len(names)) == len(to) == len(by) <= SHM_UNIT_FILE_VALUES:
                raise ValueError(f"file {i}: another number of values than of places")
            pairs, of_names = array("I", to), _keys(names)
            factors = array("d", by)
            kept += [names, pairs, of_names, factors]
            used += to
            file = &self._files[i]
            file.form = form
            file.n_values = <uint32_t>len(pairs)
            if file.n_values:
                places, divisors = pairs, factors
                file.places, file.divisors = &places[0], &divisors[0]
            if form == SHM_UNIT_KEYED:
                file.keys = <const shm_unit_key *><char *>of_names
        if sorted(used) != list(range(len(used))) or n_counters > <uint32_t>len(used):
            raise ValueError("the places are not those of one array")
        self._rest, self._whole = rest or (0, 0)
        if rest and max(rest) >= len(used):
            raise ValueError("the rest of a value that is not there")
        self.n_values = <uint32_t>len(used)
        self._kept = tuple(kept)

    def __dealloc__(self):
        PyMem_Free(self._files)
        PyMem_Free(self._buffer)


cdef bytes _keys(tuple names):
    """Return an array of struct shm_unit_key over names, which have to stay."""
    cdef bytes memory = bytes(len(names) * sizeof(shm_unit_key))
    cdef shm_unit_key *keys = <shm_unit_key *><char *>memory
    cdef bytes name
    for i in range(len(names)):
        name = names[i]
        keys[i].name = name
        keys[i].n_bytes = <size_t>len(name)
    return memory


cdef class Files:
    """The open files of one unit. Its buffer is the array of what was read last, as doubles.

    Args:
        form: what they have. All Files of a form share its memory for the text: they are read one
            after the other, with the GIL.
        fds: a descriptor for each file, or -1; they are closed with this.
    """

    def __cinit__(self, Form form not None, fds):
        cdef uint32_t i
        self.form = form
        if <uint32_t>len(fds) != form.n_files:
            raise ValueError("another number of descriptors than of files")
        numbers = array("i", fds)
        self._errors = <int *>PyMem_Calloc(form.n_files + 1, sizeof(int))
        self._fds = <int *>PyMem_Calloc(form.n_files + 1, sizeof(int))
        self._values = <double *>PyMem_Calloc(form.n_values + 1, sizeof(double))
        self._shown = <double *>PyMem_Calloc(form.n_values + 1, sizeof(double))
        if (self._fds == NULL or self._errors == NULL or self._values == NULL
                or self._shown == NULL):
            raise MemoryError
        for i in range(form.n_files):
            self._fds[i] = numbers[i]
        for i in range(form.n_values):
            self._values[i] = self._shown[i] = NAN

    def __dealloc__(self):
        self.close()
        PyMem_Free(self._fds)
        PyMem_Free(self._errors)
        PyMem_Free(self._values)
        PyMem_Free(self._shown)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self._values,
                          <Py_ssize_t>(self.form.n_values * sizeof(double)), 0, flags)

    def open(self, fds):
        """Take other descriptors of the same files, after close(). What was read is not forgotten.

        Raises:
            ValueError: there is another number of them.
        """
        cdef uint32_t i
        if <uint32_t>len(fds) != self.form.n_files:
            raise ValueError("another number of descriptors than of files")
        numbers = array("i", fds)
        self.close()
        for i in range(self.form.n_files):
            self._fds[i] = numbers[i]

    def close(self):
        """Close the descriptors. What is read from now on has no values."""
        cdef uint32_t i
        if self._fds != NULL:
            for i in range(self.form.n_files):
                if self._fds[i] >= 0:
                    close(self._fds[i])
                    self._fds[i] = -1

    def read(self):
        """Read all files. Returns how many failed, see errors()."""
        cdef uint32_t i, failed = 0
        self.form._devices.n = 0
        self.form._devices.left_out = 0
        for i in range(self.form.n_files):
            self._errors[i] = shm_unit_read(self._fds[i], &self.form._files[i], self.form._buffer,
                                            self._values, &self.form._devices)
            failed += self._errors[i] != 0
        if self.form._rest != self.form._whole:
            shm_unit_rest(self._values, self.form._rest, self.form._whole)
        return failed

    def errors(self):
        """Return the errno of each failure of the last read()."""
        return [self._errors[i] for i in range(self.form.n_files) if self._errors[i]]

    def settle(self):
        """Let no counter fall below what it was. Returns whether values have changed, or have come
        or gone, since the last call: SAME, CHANGED or CAME_OR_WENT."""
        return <int>shm_unit_settle(self._values, self._shown, self.form.n_counters,
                                    self.form.n_values)

    def devices(self):
        """Return the rows of the last read() of this form, those of other Files included: ask
        before these are read. Each is (major, minor, READ_BYTES, WRITTEN_BYTES, READS, WRITES)."""
        rows = self.form._devices.rows
        return [
            (rows[i].major, rows[i].minor, *[rows[i].values[at] for at in range(SHM_UNIT_COLUMNS)])
            for i in range(self.form._devices.n)
        ]

    @property
    def devices_left_out(self):
        """Return how many rows of devices had no room in the last read() of this form."""
        return self.form._devices.left_out


cdef class Walk:
    """A walk over all cgroups below a directory, which can be made again and again.

    Args:
        path: the directory.
        most_bytes: the room for records: 12 bytes for each cgroup, and its name.
    """

    def __cinit__(self, path not None, size_t most_bytes):
        self._path = os.fsencode(path)
        self._walk.records = <char *>PyMem_Malloc(most_bytes)
        self._walk.size_bytes = most_bytes
        if self._walk.records == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._walk.records)

    @property
    def has_left_out(self):
        """Return whether the last walk had not the room for all, or came too deep."""
        return self._walk.has_left_out

    def make(self, bint is_thorough=True):
        """Walk, and return the records of csrc/units/walk.h.

        Args:
            is_thorough: whether a service or scope that was a leaf in the walk before is asked
                whether it still is.

        Returns:
            The records as bytes; the same object as before if nothing has changed.

        Raises:
            OSError: the directory itself cannot be listed, or there are no descriptors for others.
        """
        self._walk.is_thorough = is_thorough
        self._walk.before = NULL
        if self._before is not None:
            self._walk.before = self._before
            self._walk.before_bytes = <size_t>len(self._before)
        cdef int error = shm_unit_walk(&self._walk, self._path)
        if error:
            raise OSError(error, os.strerror(error), os.fsdecode(self._path))
        cdef bytes records = self._walk.records[:self._walk.used_bytes]
        if records != self._before:
            self._before = records
        return self._before


cdef class Processes:
    """A pass over all processes, which can be made again and again.

    Args:
        proc: the directory that has them.
        most: how many there is room for.
        turns: in one of so many passes each is asked for its open files; and in the first.
    """

    def __cinit__(self, proc not None, size_t most, uint64_t turns=1):
        if turns == 0:
            raise ValueError("no turns")
        self._proc = os.fsencode(proc)
        self._processes.most = most
        self._processes.turns = turns
        self._processes.records = <shm_unit_process_record *>PyMem_Calloc(
            most + 1, sizeof(shm_unit_process_record))
        if self._processes.records == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self._processes.records)

    @property
    def has_left_out(self):
        """Return whether there were more in the last pass than there is room for."""
        return self._processes.has_left_out

    def make(self):
        """Return the records of csrc/units/processes.h, of ten numbers of 64 bits each, as bytes.
        Raises OSError if the directory cannot be listed."""
        cdef int error = shm_unit_processes(&self._processes, self._proc)
        if error:
            raise OSError(error, os.strerror(error), os.fsdecode(self._proc))
        self._processes.number += 1
        return (<char *>self._processes.records)[
            :self._processes.n * sizeof(shm_unit_process_record)]

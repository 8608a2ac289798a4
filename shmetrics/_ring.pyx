# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False, binding=False, embedsignature.format=clinic
"""The binding of csrc/ for a process that records. It calls C, and turns C's codes into exceptions.

It has no policy and does no parsing. The lane's numbers are in layout.pyx.

One process records through one producer. A record is one C call that does not release the GIL, so
threads, signal handlers and destructors cannot interleave. A Python build without the GIL turns the
GIL on again when this module is imported.

This file has the process; what is recorded is included at its end. It is one module, because there
is one producer.
"""

cimport cython
from cpython.exc cimport PyErr_Clear, PyErr_SetFromErrno
from cpython.float cimport PyFloat_AsDouble
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Realloc
from cpython.ref cimport Py_DECREF, PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport INT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from shmetrics.layout cimport (
    SHM_ATTACH_LATER,
    SHM_DROP_BAD_EXEMPLAR,
    SHM_DROP_BAD_LABELS,
    SHM_DROP_BAD_VALUE,
    SHM_DROP_NO_MEMORY,
    SHM_DROP_SPAN,
    SHM_DROPS,
    SHM_FLAG_CUT,
    SHM_FLAG_HOST,
    SHM_KIND_SPAN_START,
    SHM_KIND_SPAN_STOP,
    SHM_NOTICES_BYTES,
    SHM_TYPE_EXCEPTION,
    check_attach,
    counts_dict,
    shm_counts,
)

from os import strerror
from sys import intern

STATE_NAMES = {
    SHM_PROCESS_NONE: "none",
    SHM_PROCESS_PRIVATE: "private",
    SHM_PROCESS_REGISTERED: "registered",
}

# The families of this process, by shape, so that making one again finds it. They live as long as
# the producer: a process loads this module once, even if it loads all others again.
families = {}
newest = {}  # by name: a name may get another shape

cdef object _attention = None
cdef uint64_t _attention_errors = 0


def process_init(bint disabled, attention):
    """Prepare the process to record. Call it once, before anything is recorded.

    Args:
        disabled: record nothing.
        attention: a function without arguments. A slow path calls it while the process has no
            registered lane, or the collector has closed that; once a second, or sooner after
            process_attend_soon().
    """
    global _attention
    _attention = attention
    shm_process_init(disabled)


def process_epoch():
    """Return the number of this process. A forked child has another one."""
    return shm_process_producer().epoch


cdef class Descriptor:
    """A file descriptor that knows whether its number still belongs to its file: see descriptor.h.

    A service may close descriptors that it does not own, and the number may then name another
    file.
    """

    cdef shm_descriptor descriptor

    def __cinit__(self, int fd):
        """Take over a descriptor that was just opened."""
        self.descriptor = shm_descriptor_of(fd)

    def __dealloc__(self):
        shm_descriptor_close(&self.descriptor)

    def fileno(self):
        """Return the number, or -1 if the descriptor is closed."""
        return self.descriptor.fd

    def is_ours(self):
        """Return whether the number still belongs to the file that it was made for."""
        return shm_descriptor_is_ours(&self.descriptor)

    def close(self):
        """Close the descriptor, if its number still belongs to its file."""
        shm_descriptor_close(&self.descriptor)


def ask(bytes path not None, bytes hello not None):
    """Connect to the collector's socket and send a hello. Never waits.

    Args:
        path: the path of the socket.
        hello: the encoded hello.

    Returns:
        The connection, a Descriptor.

    Raises:
        OSError: there is no collector, or its queue is full (BlockingIOError).
    """
    cdef Descriptor connection = Descriptor.__new__(Descriptor, -1)
    errno = shm_ask(&connection.descriptor, path, <const char *>hello, <size_t>len(hello))
    if errno:
        raise OSError(errno, strerror(errno))
    return connection


def answer(Descriptor connection not None, size_t most_bytes):
    """Receive the answer of a collector. Never waits.

    Args:
        connection: the result of ask().
        most_bytes: the longest accepted answer, at most 4096 bytes.

    Returns:
        The message, empty if the connection has ended, and the Descriptor of a lane, or None.

    Raises:
        OSError: there is no answer yet, or the connection is broken.
    """
    cdef unsigned char message[4096]
    cdef Descriptor lane = Descriptor.__new__(Descriptor, -1)
    if most_bytes > sizeof(message):
        raise ValueError(f"{most_bytes} bytes of an answer")
    cdef Py_ssize_t size = shm_ask_answer(
        &connection.descriptor, message, most_bytes, &lane.descriptor)
    if size < 0:
        PyErr_SetFromErrno(OSError)
    return (<char *>message)[:size], None if lane.descriptor.fd < 0 else lane


def process_attach(uint32_t epoch, Descriptor lane not None):
    """Continue in a granted lane, and close its descriptor. It may replace the lane there is.

    Args:
        epoch: process_epoch() at the time when the lane was asked for.
        lane: the descriptor of the lane's file.

    Returns:
        True. False if pages of a large lane are still to come: then the next event calls attention,
        which attaches the same descriptor again.

    Raises:
        LaneRefused: this process cannot use the lane.
    """
    cdef int found = shm_process_attach(epoch, &lane.descriptor)
    if found == SHM_ATTACH_LATER:
        return False
    check_attach(found)
    return True


def process_detach():
    """Leave the lane. The next event starts a private one."""
    shm_process_detach()
    _forget_undeclared()  # the next lane is told of all series


def process_wanted():
    """Return the lane to ask for: (dictionary_bytes, cells, id of the lane that it replaces)."""
    cdef shm_wanted wanted
    shm_process_wanted(&wanted)
    return wanted.dictionary_bytes, wanted.cells, wanted.predecessor


def process_settle(uint64_t retry_ns):
    """Give up a larger lane for now, and record in this one what waits for it.

    Args:
        retry_ns: the time in which the process asks for no other, in nanoseconds.
    """
    shm_process_settle(retry_ns)


def process_attend_soon():
    """Have the first event after 10 ms call attention again, instead of one after a second."""
    shm_attend_soon(shm_process_producer())


def process_status():
    """Return the state of this process's producer and its counts, as a dictionary.

    The counts are those of its lane, of the lanes that it has left for a larger one, and of what
    waits for one.
    """
    cdef shm_producer *producer = shm_process_producer()
    cdef dict status = {
        "state": STATE_NAMES[shm_process.state],
        "disabled": True if producer.disabled else False,
        "closed": True if shm_is_closed(producer) else False,
        "wants_larger": True if producer.wants_larger else False,
        "waits": producer.waiting != NULL,
        "attention_errors": _attention_errors,
    }
    cdef shm_counts counts
    if shm_process_counts(&counts):
        status.update(counts_dict(&counts))
    return status


def process_notices():
    """Return the notices of the collector that were not read yet; it may write any bytes there."""
    cdef unsigned char buffer[SHM_NOTICES_BYTES]
    cdef uint32_t n_bytes = shm_process_notices(buffer)
    return (<char *>buffer)[:n_bytes]


def process_count_drop(int cause):
    """Count an event that could not be kept. cause: one of the DROP_ constants."""
    if 0 <= cause < SHM_DROPS:
        shm_count_drop(shm_process_producer(), cause, 1)


def wait_readable(Descriptor connection not None, uint64_t wait_ns):
    """Wait until a connection can be read. Other threads run meanwhile.

    This is not done in Python, because eventlet and gevent replace Python's ways to wait.

    Returns:
        True once the connection can be read, False after wait_ns nanoseconds.
    """
    cdef bint readable
    with nogil:
        readable = shm_wait_readable(connection.descriptor.fd, wait_ns)
    return readable


cdef int _attend() except -1:
    """Call attention, and count its exceptions. Only exceptions like KeyboardInterrupt pass."""
    global _attention_errors
    cdef bint holds = False
    if _attention is not None:
        try:
            holds = _hold_spans()
            _attention()
            _declare_some()
        except Exception:
            _attention_errors += 1
        finally:
            if holds:
                _release_spans()
    return 0


include "emitter/_vectorcall.pxi"
include "emitter/_children.pxi"
include "emitter/_series.pxi"
include "emitter/_observed.pxi"
include "emitter/_calls.pxi"
include "emitter/_blocks.pxi"
include "emitter/_spans.pxi"
include "emitter/_held.pxi"

# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The binding of csrc/spawn/: the start of a program as another user."""

from cpython.exc cimport PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint64_t

import os
import resource

cdef extern from "sys/types.h" nogil:
    ctypedef int pid_t
    ctypedef unsigned int uid_t
    ctypedef unsigned int gid_t

cdef extern from "spawn/start.h" nogil:
    enum: SHM_START_LIMITS

    cdef enum shm_start_step:
        SHM_START_CLONE
        SHM_START_SESSION
        SHM_START_CGROUP
        SHM_START_DESCRIPTORS
        SHM_START_LIMIT
        SHM_START_USER
        SHM_START_PRIVILEGES
        SHM_START_DIRECTORY
        SHM_START_EXEC
        SHM_START_WAIT

    struct shm_start_limit:
        int resource
        uint64_t most

    struct shm_start_request "shm_start":
        const char *path
        char **arguments
        char **environment
        const char *directory
        int input
        int output
        int errors
        int cgroup_procs
        int changes_user
        uid_t uid
        gid_t gid
        size_t group_count
        const gid_t *groups
        int nice
        shm_start_limit limits[SHM_START_LIMITS]
        shm_start_step step
        int error

    pid_t shm_start(shm_start_request *start)

cdef extern from "sys/prctl.h" nogil:
    enum:
        PR_SET_CHILD_SUBREAPER
        PR_SET_NO_NEW_PRIVS
        PR_SET_PDEATHSIG
    int prctl(int what, unsigned long value, ...)

_STEPS = {
    SHM_START_CLONE: "no new process",
    SHM_START_SESSION: "no session of its own",
    SHM_START_CGROUP: "the run's cgroup does not take it",
    SHM_START_DESCRIPTORS: "its descriptors",
    SHM_START_LIMIT: "its limits",
    SHM_START_USER: "the change of the user",
    SHM_START_PRIVILEGES: "giving up privileges",
    SHM_START_DIRECTORY: "its directory",
    SHM_START_EXEC: "the program",
    SHM_START_WAIT: "the program does not begin",
}


class NotStarted(OSError):
    """A program could not be started; the text says at which step."""


cdef class _Strings:
    """An array of C strings that ends with NULL; it holds the objects with the bytes."""

    cdef char **items
    cdef list held

    def __cinit__(self, strings):
        self.held = [bytes(each) for each in strings]
        self.items = <char **> PyMem_Malloc((len(self.held) + 1) * sizeof(char *))
        if self.items == NULL:
            raise MemoryError
        cdef Py_ssize_t i
        for i in range(len(self.held)):
            self.items[i] = self.held[i]
        self.items[len(self.held)] = NULL

    def __dealloc__(self):
        PyMem_Free(self.items)


def start(command, environment, directory, descriptors, account, limits, int cgroup_procs=-1):
    """Start a program, and return its pid, which is its session and process group too.

    Args:
        command: the path of the program and its arguments, as bytes.
        environment: `NAME=value` as bytes.
        directory: the directory in which it runs, as bytes.
        descriptors: its stdin, stdout and stderr, all above 2.
        account: who runs it, with uid, gid and groups; None: the user of this process.
        limits: its limits, with cpu_seconds, memory_bytes, processes, file_bytes and nice.
        cgroup_procs: a descriptor of its cgroup's cgroup.procs; -1: it stays in ours.

    Raises:
        NotStarted: it does not run, and has been reaped.
    """
    cdef shm_start_request request
    cdef _Strings arguments = _Strings(command), variables = _Strings(environment)
    cdef bytes path = command[0], folder = directory
    cdef gid_t *groups = NULL
    cdef pid_t pid
    cdef Py_ssize_t i
    given = () if account is None else account.groups
    request.path, request.directory = path, folder
    request.arguments, request.environment = arguments.items, variables.items
    request.input, request.output, request.errors = descriptors
    request.cgroup_procs = cgroup_procs
    request.changes_user = account is not None
    request.uid, request.gid = (0, 0) if account is None else (account.uid, account.gid)
    request.nice = limits.nice
    for i, (kind, most) in enumerate((
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_NPROC, limits.processes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    )):
        request.limits[i].resource, request.limits[i].most = kind, most
    groups = <gid_t *> PyMem_Malloc((len(given) + 1) * sizeof(gid_t))
    if groups == NULL:
        raise MemoryError
    try:
        for i, group in enumerate(given):
            groups[i] = group
        request.group_count, request.groups = len(given), groups
        with nogil:  # it can take as long as a disk does
            pid = shm_start(&request)
    finally:
        PyMem_Free(groups)
    if pid < 0:
        raise NotStarted(request.error, f"{_STEPS[request.step]}: {os.strerror(request.error)}")
    return pid


def take_in_orphans():
    """Become the parent of descendants whose own parents die. Raises OSError."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges():
    """Let neither this process nor a descendant gain rights by running a program."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1)


def end_with_parent(int number):
    """Get a signal when the parent ends. Raises OSError."""
    _prctl(PR_SET_PDEATHSIG, number)


cdef int _prctl(int what, unsigned long value) except -1:
    if prctl(what, value, 0UL, 0UL, 0UL) < 0:
        PyErr_SetFromErrno(OSError)
    return 0

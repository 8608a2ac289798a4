# SPDX-License-Identifier: Apache-2.0
# Functions and the notifier of OSProfiler, which a test or the service may replace at any time.
# Part of _profiler.pyx.
#
# They are looked up when one of their modules has changed, and not for each span: nine look-ups in
# dictionaries were a fifth of the cost of a span.

cdef extern from *:
    """
    #include <stdbool.h>

    #define SHM_WATCHED 3

    static PyObject *shm_watched[SHM_WATCHED];

    #if PY_VERSION_HEX < 0x030C0000
    /* Each change gives a dictionary a new version, and no two dictionaries have the same. */
    static uint64_t shm_versions[SHM_WATCHED];

    static void shm_watch(int i, PyObject *dict)
    {
        shm_watched[i] = dict;
    }

    static inline bool shm_has_changed(void)
    {
        bool has_changed = false;
        for (int i = 0; i < SHM_WATCHED; i++)
            has_changed |= ((PyDictObject *)shm_watched[i])->ma_version_tag != shm_versions[i];
        return has_changed;
    }

    static void shm_look_from_now(void)
    {
        for (int i = 0; i < SHM_WATCHED; i++)
            shm_versions[i] = ((PyDictObject *)shm_watched[i])->ma_version_tag;
    }

    static void shm_look_again(void)
    {
        memset(shm_versions, 0, sizeof shm_versions); /* no dictionary has version 0 */
    }
    #else
    /* A watched dictionary reports that it is about to change. If one cannot be watched, all count
     * as changed all the time. */
    static bool shm_changed = true;
    static bool shm_is_blind = false;

    static int shm_note(PyDict_WatchEvent event, PyObject *dict, PyObject *key, PyObject *value)
    {
        (void)event, (void)dict, (void)key, (void)value;
        shm_changed = true;
        return 0;
    }

    static void shm_watch(int i, PyObject *dict)
    {
        static int watcher = -1;
        if (i == 0)
            watcher = PyDict_AddWatcher(shm_note);
        shm_watched[i] = dict;
        if (watcher < 0 || PyDict_Watch(watcher, dict) < 0) {
            PyErr_Clear();
            shm_is_blind = true;
        }
    }

    static inline bool shm_has_changed(void)
    {
        return shm_changed;
    }

    static void shm_look_from_now(void)
    {
        shm_changed = shm_is_blind;
    }

    static void shm_look_again(void)
    {
        shm_changed = true;
    }
    #endif
    """
    void shm_watch(int i, dict module) noexcept  # from 0 on, each once; it must stay
    bint shm_has_changed() noexcept
    void shm_look_from_now() noexcept  # what changes from now on has changed
    void shm_look_again() noexcept


cdef dict _in_profiler = theirs.__dict__
cdef dict _in_notifier = notifier.__dict__
cdef dict _in_uuidutils = uuidutils.__dict__
cdef object _their_notify = notifier.notify
cdef object _their_uuid = uuidutils.generate_uuid

for _i, _module in enumerate((_in_profiler, _in_notifier, _in_uuidutils)):
    shm_watch(_i, _module)

# The results of the last look-up. Call _look() before using them.
cdef bint _start_is_ours = False
cdef bint _stop_is_ours = False
cdef bint _notify_is_theirs = False
cdef bint _ids_are_theirs = False
# The choice for the notifier that is set: see `sink`. _spans is None if that is not our own.
cdef object _notifier = None
cdef object _spans = None
cdef dict _series = None
cdef object _wanted = None
cdef bint _is_deaf = False


cdef bint _is(dict module, str name, object expected) except -1:
    return PyDict_GetItemWithError(module, name) == <PyObject *>expected


cdef int _look_up() except -1:
    global _start_is_ours, _stop_is_ours, _notify_is_theirs, _ids_are_theirs
    global _notifier, _spans, _series, _wanted, _is_deaf
    found = _in_notifier.get("__notifier")
    if found is not _notifier:
        sink = sink_of(found)
        _series = None if sink.spans is None else sink.spans.series
        _notifier, _spans, _wanted, _is_deaf = found, sink.spans, sink.wanted, sink.is_deaf
    _start_is_ours = _is(_in_profiler, "start", _our_start)
    _stop_is_ours = _is(_in_profiler, "stop", _our_stop)
    _notify_is_theirs = _is(_in_notifier, "notify", _their_notify)
    _ids_are_theirs = _is(_in_uuidutils, "generate_uuid", _their_uuid)
    return 0


cdef int _look_again() except -1:
    shm_look_from_now()  # first: another thread may replace something during the look-up
    try:
        _look_up()
    except BaseException:
        shm_look_again()
        raise
    return 0


cdef inline int _look() except -1:
    """Look the names up again, if one of their modules has changed."""
    if shm_has_changed():
        _look_again()
    return 0

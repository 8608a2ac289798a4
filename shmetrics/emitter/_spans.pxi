# SPDX-License-Identifier: Apache-2.0
# Starts and stops of spans. Part of _ring.pyx.

cdef enum:
    _DEPTH = 8  # of nested maps and lists; anything deeper is recorded as a text
    _MOST_MEMBERS = 1024  # of one map or list


cdef bint _put_text(shm_info *info, str text) except -1:
    cdef Py_ssize_t n_bytes
    cdef const char *utf8 = PyUnicode_AsUTF8AndSize(text, &n_bytes)
    return shm_info_text(info, utf8, <size_t>n_bytes)


cdef bint _put_pair(shm_info *info, object key, object value, int depth) except -1:
    return _put_text(info, key if type(key) is str else str(key)) and _put(info, value, depth)


cdef bint _put_members(shm_info *info, object members, bint is_map, int depth) except -1:
    """Put a map or list with as many members as fit. Return false if not even an empty one fits."""
    cdef unsigned char *before
    cdef uint16_t n = 0
    cdef bint has_room
    cdef unsigned char *opened = shm_info_open(info, is_map)
    if opened == NULL:
        return False
    for member in members:
        before = info.at
        if is_map:
            has_room = _put_pair(info, member, members[member], depth)
        else:
            has_room = _put(info, member, depth)
        if n == _MOST_MEMBERS or not has_room:
            info.at = before
            info.is_cut = True
            break
        n += 1
    shm_info_close(opened, n)
    return True


cdef bint _put(shm_info *info, object value, int depth) except -1:
    """Put a value. Return false if it does not fit."""
    if isinstance(value, str):
        return _put_text(info, str(value))
    if value is None:
        return shm_info_nil(info)
    if isinstance(value, bool):
        return shm_info_bool(info, value)
    if isinstance(value, int) and -INT64_MAX <= value <= INT64_MAX:
        return shm_info_int(info, value)
    if isinstance(value, float):
        return shm_info_float(info, value)
    if depth > 0 and isinstance(value, (dict, list, tuple)):
        return _put_members(info, value, isinstance(value, dict), depth - 1)
    return _put_text(info, str(value))


cdef bint _id(uint8_t *to, object id) except -1:
    """Read an id, 32 hexadecimal digits or a UUID. Return false if the text is not an id."""
    cdef shm_trace trace
    cdef Py_ssize_t length
    cdef const char *text = PyUnicode_AsUTF8AndSize(id, &length)
    cdef bint found = shm_trace_read(&trace, text, <size_t>length)
    memcpy(to, trace.id, sizeof(trace.id))
    return found


cdef int _pack(shm_info *packed, unsigned char *to, dict info) except -1:
    packed.at = to
    packed.end = to + SHM_SPAN_INFO_MAX_BYTES
    packed.is_cut = False
    if info:
        _put_members(packed, info, True, _DEPTH)
    return 0


cdef class SpanSeries(Series):
    """The spans of one name, one service and one host.

    Ids are UUIDs as texts, as OSProfiler makes them. The info of most spans is that host and
    nothing else, which takes no slot of the ring.
    """

    cdef str _host

    def __init__(self, Family family, bytes text, host=""):
        self._host = str(host)

    def start(self, id, trace, parent, dict info=None):
        """Record the start of a span.

        Args:
            id: the id of the span.
            trace: the id of its trace.
            parent: the id of the span around it, or of the trace.
            info: what is known about the span; it is cut if it does not fit.
        """
        self._read(SHM_KIND_SPAN_START, id, trace, parent, info)

    def stop(self, id, trace, parent, dict info=None):
        """Record the stop of a span, with the arguments of start()."""
        self._read(SHM_KIND_SPAN_STOP, id, trace, parent, info)

    cdef int _read(self, int kind, object id, object trace, object parent, dict info) except -1:
        cdef shm_span span
        cdef bint sound = False
        span.kind = <uint8_t>kind
        span.flags = 0
        try:
            sound = _id(span.id, id) and _id(span.trace, trace) and _id(span.parent, parent)
        except Exception:
            pass
        if sound:
            self._say(&span, info)
        else:
            shm_count_drop(shm_process_producer(), SHM_DROP_BAD_VALUE, 1)
        return 0

    cdef int _say(self, shm_span *span, dict info) except -1:
        cdef unsigned char to[SHM_SPAN_INFO_MAX_BYTES]
        cdef shm_info packed
        cdef int lost = -1
        if info is not None and len(info) == 1 and self._is_at(info.get("host")):
            span.flags |= SHM_FLAG_HOST
            info = None
        try:
            _pack(&packed, to, info)
        except MemoryError:
            lost = SHM_DROP_NO_MEMORY
        except Exception:
            lost = SHM_DROP_BAD_VALUE
        if lost >= 0:
            shm_count_drop(shm_process_producer(), lost, 1)
            return 0
        if packed.is_cut:
            span.flags |= SHM_FLAG_CUT
        return self._record(span, to, <uint32_t>(packed.at - to))

    cdef bint _is_at(self, object host) except -1:
        return type(host) is str and <str>host == self._host

    cdef int _record(self, shm_span *span, const unsigned char *info,
                     uint32_t info_bytes) except -1:
        span.stamp_ns = shm_clock_ns()
        if _held is not None and _hold(self, span, info, info_bytes):
            return 0
        cdef int result = shm_emit_span(
            shm_process_producer(), &self.series, span, info, info_bytes)
        if result != SHM_EMITTED:
            _attend()
        if result == SHM_ATTENTION:
            self._emit(span, info, info_bytes)
        return 0

    cdef void _emit(self, const shm_span *span, const unsigned char *info,
                    uint32_t info_bytes) noexcept:
        """Record a span. Without a lane it is dropped, and counted."""
        if shm_emit_span(shm_process_producer(), &self.series, span, info,
                         info_bytes) == SHM_ATTENTION:
            shm_count_drop(shm_process_producer(), SHM_DROP_SPAN, 1)


cdef int record_span(object series, shm_span *span, object info) except -1:
    """Record the start or stop of a span.

    Args:
        series: its SpanSeries.
        span: has its kind and ids.
        info: a dictionary, or a text, which is the host alone.

    Raises:
        TypeError: the info or the series is of another type.
    """
    cdef SpanSeries its = series
    span.flags = 0
    if type(info) is not str:
        return its._say(span, info)
    if its._is_at(info):
        span.flags = SHM_FLAG_HOST
        return its._record(span, NULL, 0)
    return its._say(span, {"host": info})

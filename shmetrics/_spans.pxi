# SPDX-License-Identifier: Apache-2.0
# Spans: the start and the stop of what belongs to a trace. Part of _ring.pyx.

cdef enum:
    _DEPTH = 8  # of maps and lists in each other; what is deeper is said as a text
    _MOST_MEMBERS = 1024  # of one of them


cdef bint _put_text(shm_info *info, str text) except -1:
    cdef Py_ssize_t n_bytes
    cdef const char *utf8 = PyUnicode_AsUTF8AndSize(text, &n_bytes)
    return shm_info_text(info, utf8, <size_t>n_bytes)


cdef bint _put_pair(shm_info *info, object key, object value, int depth) except -1:
    return _put_text(info, key if type(key) is str else str(key)) and _put(info, value, depth)


cdef bint _put_members(shm_info *info, object members, bint is_map, int depth) except -1:
    """As many of them as there is room for."""
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
    """False: there was no room for it."""
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
    """An id: 32 hexadecimal digits, or a UUID. False: it is not one."""
    cdef shm_trace trace
    cdef Py_ssize_t length
    cdef const char *text = PyUnicode_AsUTF8AndSize(id, &length)
    cdef bint found = shm_trace_read(&trace, text, <size_t>length)
    memcpy(to, trace.id, sizeof(trace.id))
    return found


cdef class SpanSeries(Series):
    """Spans of one name, of one service. Ids are texts: UUIDs, as OSProfiler makes them."""

    def start(self, id, trace, parent, dict info=None):
        """A span begins. parent: the span around it, or the trace itself. info: what is known of
        it; what there is no room for is cut."""
        self._record(SHM_KIND_SPAN_START, id, trace, parent, info)

    def stop(self, id, trace, parent, dict info=None):
        """It ends."""
        self._record(SHM_KIND_SPAN_STOP, id, trace, parent, info)

    cdef int _record(self, int kind, object id, object trace, object parent,
                     dict about) except -1:
        cdef shm_span span
        cdef unsigned char bytes[SHM_SPAN_INFO_MAX_BYTES]
        cdef shm_info info
        cdef int cause = SHM_DROP_BAD_VALUE
        cdef bint sound = False
        info.at = bytes
        info.end = bytes + SHM_SPAN_INFO_MAX_BYTES
        info.is_cut = False
        try:
            sound = _id(span.id, id) and _id(span.trace, trace) and _id(span.parent, parent)
            if sound and about:
                sound = _put_members(&info, about, True, _DEPTH)
        except MemoryError:
            sound = False
            cause = SHM_DROP_NO_MEMORY
        except Exception:
            sound = False
        if not sound:
            shm_count_drop(shm_process_producer(), cause, 1)
            return 0
        span.kind = <uint8_t>kind
        span.flags = SHM_FLAG_CUT if info.is_cut else 0
        cdef uint32_t info_bytes = <uint32_t>(info.at - bytes)
        if shm_emit_span(shm_process_producer(), &self.series, &span, bytes,
                         info_bytes) == SHM_ATTENTION:
            _attend()
            if shm_emit_span(shm_process_producer(), &self.series, &span, bytes,
                             info_bytes) == SHM_ATTENTION:
                shm_count_drop(shm_process_producer(), SHM_DROP_SPAN, 1)
        return 0

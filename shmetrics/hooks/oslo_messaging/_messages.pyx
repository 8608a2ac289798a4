# SPDX-License-Identifier: Apache-2.0
# cython: freethreading_compatible=False
"""The work for each message: its call is begun and ended.

It is compiled because of where it runs. Between two messages a service does other things, and a
function of Python that has left the processor's caches costs 0.7 µs, however little it does. Work
that is done once, for a driver or a label set, is in the Python modules beside this one.

Nothing here raises what the real driver would not have raised: see `failures`.
"""

from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject

from shmetrics.hooks.oslo_messaging.failures import failed
from shmetrics.hooks.oslo_messaging.raised import name_of_failure, name_of_raised

# Label sets that a recorder keeps. Beyond that its cache is emptied: a service with an endless
# number of methods or timeouts pays with time for new instruments, and not with memory.
LIMIT = 4096

# The most characters of raw values that are kept. A peer may send a method name of a megabyte.
LONGEST = 2048

# The exception counted for a message that was dropped without an answer. Without this end, its call
# would stay open as long as the process lives.
UNANSWERED = "Unanswered"


# ---- raw values to an open call -----------------------------------------------------------------

cpdef tuple rpc_sent_key(target, message, wait_for_reply, timeout_seconds):
    """Return the raw values that decide the labels of a message given to BaseDriver.send."""
    return (
        not wait_for_reply,
        target.exchange,
        target.topic,
        target.namespace,
        target.version,
        target.server,
        target.fanout,
        message.get("method"),
        timeout_seconds,
    )


cpdef tuple rpc_received_key(incoming):
    """Return the raw values that decide the labels of a message that an RPC listener received."""
    message = incoming.message
    return message.get("namespace"), message.get("version"), message.get("method")


cpdef object client_timeout_seconds(incoming):
    """Return how long the client of a received message waits, or None if the message does not say.

    The rabbit driver gives each call this time to live, as the property `expiration` in
    milliseconds (`Connection._publish` in its module `impl_rabbit`). What oslo.messaging itself
    calls `client_timeout` is another time: that in which the client wants a sign of life.
    """
    properties = getattr(getattr(incoming.message, "_raw_message", None), "properties", None)
    if not isinstance(properties, dict):
        return None
    try:
        expiration_ms = properties.get("expiration")
        return None if expiration_ms is None else float(expiration_ms) / 1000.0
    except (TypeError, ValueError):
        return None  # a peer may write anything there


cdef class Recorder(dict):
    """A cache of the calls of one family, by the raw values from which their labels are made.

    Making a call's series costs microseconds: values are formatted, the endpoint is looked for,
    the series is looked up.
    """

    cdef object _key
    cdef object _make

    def __init__(self, key, make):
        """Make an empty cache.

        Args:
            key: makes the raw values, a hashable tuple, from the arguments of start().
            make: makes the series of calls from such a key.
        """
        dict.__init__(self)
        self._key = key
        self._make = make

    def start(self, *raw):
        """Begin a call, and return it for end(), which any thread may call. Never raises."""
        opened = None
        try:
            opened = self.opened(self._key(*raw))
        except Exception as error:
            failed(error)
        return opened

    def start_of(self, exemplar, timeout_seconds, *raw):
        """Begin a call of which more is known. Otherwise like start().

        Args:
            exemplar: the trace of the call, or None.
            timeout_seconds: how long the client waits; None if its labels say so, or nothing.
            raw: as for start().
        """
        opened = None
        try:
            opened = self.opened(self._key(*raw), exemplar, timeout_seconds)
        except Exception as error:
            failed(error)
        return opened

    cdef tuple opened(self, tuple key, exemplar=None, timeout_seconds=None):
        cdef PyObject *kept = PyDict_GetItemWithError(self, key)
        call = <object>kept if kept != NULL else self._kept(key)
        if exemplar is None and timeout_seconds is None:
            return call, call.start()
        return call, call.start(exemplar, timeout_seconds)

    cdef _kept(self, tuple key):
        call = self._make(key)
        if sum([len(value) for value in key if isinstance(value, (str, bytes))]) <= LONGEST:
            if len(self) >= LIMIT:
                self.clear()
            self[key] = call
        return call


cpdef int end(tuple opened, exception=None) except -1:
    """End a call that a Recorder began, or do nothing for None. Never raises.

    Args:
        opened: the result of start(), None if the call could not begin.
        exception: the name of the class of the exception that was raised, or None.
    """
    if opened is not None:
        try:
            opened[0].end(opened[1], exception)
        except Exception as error:
            failed(error)
    return 0


# ---- on the way out -----------------------------------------------------------------------------

def sent_by_name(real, Recorder calls not None):
    """Return the send() of a real driver with a call around it.

    Its parameters are those of oslo.messaging's contract.
    """

    def send(target, ctxt, message, wait_for_reply=None, timeout=None, call_monitor_timeout=None,
             retry=None, transport_options=None):
        cdef tuple opened = None
        try:
            opened = calls.opened(rpc_sent_key(target, message, wait_for_reply, timeout))
        except Exception as error:
            failed(error)
        try:
            reply = real.send(
                target,
                ctxt,
                message,
                wait_for_reply=wait_for_reply,
                timeout=timeout,
                call_monitor_timeout=call_monitor_timeout,
                retry=retry,
                transport_options=transport_options,
            )
        except BaseException as error:
            end(opened, name_of_raised(error))
            raise
        end(opened)
        return reply

    return send


# ---- on the way in ------------------------------------------------------------------------------

cdef class Incoming:
    """An incoming message, measured from its receipt to its end. All else is the real message.

    The end is recorded just before the real message is told, not after: so a client that has the
    answer finds the end in the figures, and a broker that does not accept the answer does not look
    like a slow method. Only the first end counts.

    ======================  ==========================  ===========================================
    what happens            `Request` (RPC)             `Notification`
    ======================  ==========================  ===========================================
    ``reply``               the end, with its failure,  the end
                            if that is not expected
    ``requeue``             the end                     the end
    ``acknowledge``         only if it raises: a        the end
                            server then drops it
    message dropped         the end, as `UNANSWERED`    the end, as `UNANSWERED`
    ======================  ==========================  ===========================================
    """

    cdef object _real
    cdef tuple _opened
    cdef object __weakref__

    def __cinit__(self, real, tuple opened):
        self._real = real
        self._opened = opened

    def __getattr__(self, name):
        return getattr(self._real, name)

    def __setattr__(self, name, value):
        setattr(self._real, name, value)

    def __delattr__(self, name):
        delattr(self._real, name)

    def __dir__(self):
        return sorted({*object.__dir__(self), *dir(self._real)})

    def __repr__(self):
        return f"<shmetrics on {self._real!r}>"

    @property
    def __class__(self):
        return type(self._real)

    # A server reads these of every message. As properties they are found without __getattr__.

    @property
    def client_timeout(self):
        return self._real.client_timeout

    @property
    def ctxt(self):
        return self._real.ctxt

    @property
    def message(self):
        return self._real.message

    @property
    def msg_id(self):
        return self._real.msg_id

    # Parameters that the contract does not have yet are passed on. Without any, nothing is packed.

    def requeue(self, *args, **kwargs):
        self._end()
        return self._real.requeue(*args, **kwargs) if args or kwargs else self._real.requeue()

    def reply(self, reply=None, failure=None, *args, **kwargs):
        self._end(None if failure is None else name_of_failure(failure))
        if args or kwargs:
            return self._real.reply(reply, failure, *args, **kwargs)
        return self._real.reply(reply, failure)

    cdef _acknowledge(self, tuple args, dict kwargs):
        if args or kwargs:
            return self._real.acknowledge(*args, **kwargs)
        return self._real.acknowledge()

    cdef int _end(self, exception=None) except -1:
        cdef tuple opened = self._opened
        if opened is not None:
            self._opened = None
            end(opened, exception)
        return 0

    def __del__(self):
        self._end(UNANSWERED)


cdef class Request(Incoming):
    """An RPC message: a call, or a cast, to which servers reply as well."""

    cdef object _outcomes
    cdef set _dropped

    def reply(self, reply=None, failure=None, *args, **kwargs):
        exception = None
        if failure is not None:
            exception = name_of_failure(failure)
            if (
                self._opened is not None
                and self._outcomes is not None
                and self._outcomes.expects(self._real, failure, exception)
            ):
                exception = None
        self._end(exception)
        try:
            if args or kwargs:
                result = self._real.reply(reply, failure, *args, **kwargs)
            else:
                result = self._real.reply(reply, failure)
        except BaseException as error:
            if self._outcomes is not None:
                self._outcomes.replied(self._real, error)
            raise
        if self._dropped:  # seldom
            self._outcomes.replied(self._real)
        return result

    def acknowledge(self, *args, **kwargs):
        try:
            return self._acknowledge(args, kwargs)
        except BaseException as error:
            self._end(name_of_raised(error))
            raise


cdef class TracedRequest(Request):
    """An RPC message that may belong to a trace.

    Its work begins in the thread that acknowledges the message, and ends with the message, also if
    there is no answer.
    """

    cdef object _work

    def acknowledge(self, *args, **kwargs):
        result = Request.acknowledge(self, *args, **kwargs)
        if self._work is not None:
            self._work.begin()
        return result

    def reply(self, reply=None, failure=None, *args, **kwargs):
        if failure is not None:
            self._finish(name_of_failure(failure), failure)
        return Request.reply(self, reply, failure, *args, **kwargs)

    cdef int _end(self, exception=None) except -1:
        self._finish(exception, None)
        return Request._end(self, exception)

    cdef int _finish(self, exception, failure) except -1:
        work, self._work = self._work, None
        if work is not None:
            work.end(exception, failure)
        return 0


cdef class Notification(Incoming):
    """A notification. It is acknowledged or requeued after its endpoints have seen it."""

    def acknowledge(self, *args, **kwargs):
        self._end()
        return self._acknowledge(args, kwargs)


def request(Recorder calls not None, outcomes, set dropped not None):
    """Return a function that wraps a received RPC message in a Request and begins its call.

    Args:
        calls: the recorder of calls.
        outcomes: the Outcomes of the listener.
        dropped: its `dropped`.
    """

    def wrap(real):
        cdef Request made
        cdef tuple opened = None
        try:
            opened = calls.opened(rpc_received_key(real), None, client_timeout_seconds(real))
        except Exception as error:
            failed(error)
        made = Request(real, opened)
        made._outcomes, made._dropped = outcomes, dropped
        return made

    return wrap


def traced_request(real, tuple opened, outcomes, set dropped not None, work):
    """Return a TracedRequest for a message.

    Args:
        real: the real message.
        opened: its call, which has begun.
        outcomes: the Outcomes of the listener.
        dropped: its `dropped`.
        work: an object with begin() and end(exception, failure).
    """
    cdef TracedRequest made = TracedRequest(real, opened)
    made._work, made._outcomes, made._dropped = work, outcomes, dropped
    return made


def notification(Recorder calls not None):
    """Return a function that wraps a notification in a Notification and begins its call."""
    return lambda real: Notification(real, calls.start(real))


def receiver(callback, wrap):
    """Return a callback for a listener, which wraps each message before the server's callback."""

    def on_incoming(batch):
        cdef list messages = [wrap(message) for message in batch]
        try:
            return callback(messages)
        except BaseException as error:
            for message in messages:  # the server did not accept them, and will not answer
                (<Incoming>message)._end(name_of_raised(error))
            raise

    return on_incoming

# SPDX-License-Identifier: Apache-2.0
"""RPC of a trace, through real drivers: one tree of client and server."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import oslo_messaging
import pytest
from oslo_messaging.opts import list_opts
from osprofiler import notifier, profiler

from shmetrics.hooks.oslo_messaging import tracing
from shmetrics.hooks.tracing import headers, switches
from tests.nodes.node import Node
from tests.nodes.samples import OPENMETRICS
from tests.servers.processes import until

from .conftest import KEY, TRACED, Configured, names, new_id, refused, signed, spans

RPC = TRACED | {"trace_rpc": True}
FAKE = "shmetrics+fake://"


class Compute:
    """The endpoint of a server, which notes the threads and traces of its calls."""

    def __init__(self) -> None:
        self.seen: list[str | None] = []

    def build(self, ctxt: Any, secret: str = "") -> str:
        self.seen.append(here())
        with profiler.Trace("db"):
            return "built"

    def fail(self, ctxt: Any) -> None:
        profiler.start("left open")
        raise LookupError("no host\nat all")

    def leave(self, ctxt: Any) -> None:
        """Begin a trace and never end it, as services do that never clean up."""
        profiler.init(KEY)

    def relay(self, ctxt: Any) -> Any:
        return self.client.call(ctxt, "build")

    def again(self, ctxt: Any, trace: dict[str, str]) -> None:
        """Begin the trace of the context again, as nova does."""
        profiler.init(KEY, **trace)
        with profiler.Trace("nova"):
            pass

    client: Any = None


def here() -> str | None:
    """Return the trace that is active in this thread."""
    active = profiler.get()
    return None if active is None else active.get_base_id()


Serve = Callable[..., Any]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Yield `serve(conf, endpoint, url, client_url)`, which starts a server and returns a
    client of it."""
    stop: list[Callable[[], object]] = []

    def serve(conf: Any, endpoint: Any, url: str = FAKE, client_url: str = "") -> Any:
        transport = oslo_messaging.get_rpc_transport(conf, url)
        server = oslo_messaging.get_rpc_server(
            transport, oslo_messaging.Target(topic="compute", server="host-a"), [endpoint]
        )
        server.start()
        stop[:0] = [server.stop, server.wait, transport.cleanup]
        if client_url:
            transport = oslo_messaging.get_rpc_transport(conf, client_url)
            stop.append(transport.cleanup)
        return oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="compute"))

    yield serve
    for each in stop:
        each()


def register_options(conf: Any) -> None:
    """Register oslo.messaging's options; nobody may have done so before."""
    for group, options in list_opts():
        if group is None:
            conf.register_opts(options)


def traced(call: Callable[[], object]) -> str:
    """Call it in a trace of its own, whose id is the result."""
    base_id = profiler.init(KEY).get_base_id()
    try:
        call()
    finally:
        profiler.clean()
    return str(base_id)


@pytest.mark.parametrize("url", ["fake://", "kombu+memory://"])
def test_it_is_off_by_default(shm: Node, configured: Configured, serve: Serve, url: str) -> None:
    endpoint = Compute()
    client = serve(configured(**TRACED), endpoint, f"shmetrics+{url}")
    base_id = traced(lambda: client.call({}, "build"))
    assert endpoint.seen == [None]
    assert spans(shm, base_id) == []
    assert not switches.is_set_up()


@pytest.mark.parametrize("url", ["fake://", "kombu+memory://"])
def test_a_call_is_one_tree(shm: Node, configured: Configured, serve: Serve, url: str) -> None:
    client = serve(configured(**RPC), Compute(), f"shmetrics+{url}")
    base_id = traced(lambda: client.call({}, "build", secret="s3cret"))
    sent, received, inner = spans(shm, base_id)
    assert names([sent, received, inner]) == ["rpc", "rpc", "db"]
    assert sent["parent_id"] == base_id
    assert received["parent_id"] == sent["trace_id"]
    assert inner["parent_id"] == received["trace_id"]
    assert {span["state"] for span in (sent, received, inner)} == {"done"}
    said = {"method": "build", "topic": "compute"}
    assert sent["start_info"]["rpc"] == said | {"call_type": "call"}
    assert received["start_info"]["rpc"] == said | {"server": "host-a"}
    assert KEY not in str([sent, received, inner])
    assert "s3cret" not in str([sent, received, inner])
    assert profiler.get() is None


def test_arguments_are_kept_if_they_are_asked_for(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    client = serve(configured(**RPC, trace_arguments=True), Compute())
    base_id = traced(lambda: client.call({}, "build", secret="s3cret"))
    sent, received, _ = spans(shm, base_id)
    assert sent["start_info"]["rpc"]["args"] == "{'secret': 's3cret'}"
    assert received["start_info"]["rpc"]["args"] == "{'secret': 's3cret'}"


def test_a_cast_and_what_the_server_calls_in_turn_are_in_the_tree(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    endpoint = Compute()
    client = endpoint.client = serve(configured(**RPC), endpoint)
    base_id = traced(lambda: client.cast({}, "relay"))
    until(lambda: len(done(spans(shm, base_id))) == 5, lambda: str(spans(shm, base_id)), 20)
    assert names(spans(shm, base_id)) == ["rpc", "rpc", "rpc", "rpc", "db"]
    assert spans(shm, base_id)[0]["start_info"]["rpc"]["call_type"] == "cast"


def done(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in found if span["state"] == "done"]


def test_without_a_trace_nothing_goes_along(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    endpoint = Compute()
    client = serve(configured(**RPC), endpoint)
    assert client.call({}, "build") == "built"
    assert endpoint.seen == [None]


@pytest.mark.parametrize("url", ["fake://", "kombu+memory://"])
@pytest.mark.parametrize("quotes", [False, True])
def test_an_endpoint_that_raises_is_an_error_on_both_sides(
    shm: Node, configured: Configured, serve: Serve, url: str, quotes: bool
) -> None:
    conf = configured(**RPC, trace_arguments=quotes)
    client = serve(conf, Compute(), f"shmetrics+{url}")

    def call() -> None:
        with pytest.raises((LookupError, oslo_messaging.RemoteError)):
            client.call({}, "fail")

    sent, received, left = spans(shm, traced(call))
    assert sent["stop_info"]["etype"] == received["stop_info"]["etype"] == "LookupError"
    said = [span["stop_info"].get("message") for span in (sent, received)]
    assert said == (["no host", "no host\nat all"] if quotes else [None, None])
    assert left["state"] == "done"


def test_a_call_that_times_out_is_an_error(shm: Node, configured: Configured, serve: Serve) -> None:
    client = serve(configured(**RPC), Compute())

    def call() -> None:
        with pytest.raises(oslo_messaging.MessagingTimeout):
            client.prepare(topic="nobody", timeout=0.1).call({}, "build")

    (sent,) = spans(shm, traced(call))
    assert sent["stop_info"]["etype"] == "MessagingTimeout"


def test_a_server_without_the_hook_is_not_disturbed(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    endpoint = Compute()
    memory = "kombu+memory://"
    client = serve(configured(**RPC), endpoint, memory, f"shmetrics+{memory}")
    base_id = traced(lambda: client.call({}, "build"))
    assert endpoint.seen == [None]
    assert names(spans(shm, base_id)) == ["rpc"]


def test_what_a_service_left_in_a_thread_is_forgotten_by_the_next_message(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    conf = configured(**RPC)
    register_options(conf)
    conf.set_override("executor_thread_pool_size", 1)
    endpoint = Compute()
    client = serve(conf, endpoint)
    client.call({}, "leave")
    client.call({}, "build")
    base_id = traced(lambda: client.call({}, "build"))
    client.call({}, "build")
    conf.clear_override("executor_thread_pool_size")
    assert endpoint.seen == [None, base_id, None]


def test_a_trace_that_the_service_initialises_itself_does_no_harm(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    client = serve(configured(**RPC), Compute())
    base_id = profiler.init(KEY).get_base_id()
    client.call({}, "again", trace={"base_id": base_id, "parent_id": base_id})
    profiler.clean()
    sent, received, inner = spans(shm, base_id)
    assert (inner["name"], inner["parent_id"]) == ("nova", received["trace_id"])
    assert received["parent_id"] == sent["trace_id"]


def test_concurrent_calls_do_not_mix(shm: Node, configured: Configured, serve: Serve) -> None:
    together = threading.Barrier(8, timeout=30)

    class Slow(Compute):
        def build(self, ctxt: Any, secret: str = "") -> str:
            together.wait()
            with profiler.Trace(secret):
                together.wait()
            return "built"

    client = serve(configured(**RPC), Slow())
    bases = [new_id() for _ in range(8)]

    def call(base_id: str) -> None:
        profiler.init(KEY, base_id=base_id)
        client.call({}, "build", secret=base_id)

    callers = [threading.Thread(target=call, args=(base_id,)) for base_id in bases]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for base_id in bases:
        assert names(spans(shm, base_id)) == ["rpc", "rpc", base_id]


EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
import oslo_messaging
from oslo_config import cfg
from osprofiler import profiler

cfg.CONF([], project="x", default_config_files=[{file!r}])
transport = oslo_messaging.get_rpc_transport(cfg.CONF, "shmetrics+fake://")
seen = []

class Compute:
    def build(self, ctxt, name):
        with profiler.Trace(name):
            seen.append(name)
            while len(seen) < 8:
                eventlet.sleep(0.01)
        return profiler.get().get_base_id()

server = oslo_messaging.get_rpc_server(
    transport, oslo_messaging.Target(topic="t", server="s"), [Compute()], executor="eventlet")
server.start()
client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
shmetrics.Counter("registered", "Anything").inc()
while not shmetrics.status()["connected"]:
    eventlet.sleep(0.01)

def call(base_id):
    profiler.init("a key of this service", base_id=base_id)
    answer = client.call({{}}, "build", name=base_id)
    profiler.clean()
    return answer == base_id

calls = [eventlet.spawn(call, base_id) for base_id in {bases!r}]
print(all(each.wait() for each in calls), len(seen), profiler.get(), flush=True)
server.stop(); server.wait()
"""


def test_greenlets_do_not_mix(shm: Node, configured: Configured) -> None:
    file = configured(**RPC).default_config_files[0]
    bases = [new_id() for _ in range(8)]
    said = shm.run(EVENTLET.format(file=str(file), bases=bases))
    assert said.splitlines()[-1] == "True 8 None"
    for base_id in bases:
        assert names(spans(shm, base_id)) == ["rpc", "rpc", base_id]


def test_calls_of_a_trace_have_it_as_their_exemplar(
    shm: Node, configured: Configured, serve: Serve
) -> None:
    client = serve(configured(**RPC), Compute())
    base_id = traced(lambda: client.call({}, "build"))
    text = shm.get("/metrics", OPENMETRICS).decode()
    for family in ("client", "server"):
        shown = [
            line
            for line in text.splitlines()
            if line.startswith(f"oslo_messaging_rpc_{family}_") and base_id.replace("-", "") in line
        ]
        assert shown, family


# ---- what a message may hold --------------------------------------------------------------------


class Message:
    """A message of a driver that does nothing, and what was done with it."""

    ctxt: Any = None
    msg_id = "m"
    client_timeout = None

    def __init__(self, trace: object) -> None:
        self.message = {"method": "build", "args": {}, tracing.KEY: trace}
        self.done: list[str] = []

    def acknowledge(self) -> None:
        self.done.append("acknowledged")

    def reply(self, reply: Any = None, failure: Any = None) -> None:
        self.done.append("replied")

    def requeue(self) -> None:
        self.done.append("requeued")


def received(conf: Any, *traces: object) -> list[Any]:
    """Return messages with these traces, as a server gets them from the hook."""
    wrap = wrapping(conf)
    return [wrap(Message(trace)) for trace in traces]


def wrapping(conf: Any) -> Callable[[Any], Any]:
    """Return the function with which the hook wraps each message."""
    from shmetrics.hooks.oslo_messaging._messages import Recorder, rpc_received_key
    from shmetrics.hooks.oslo_messaging.instruments import Instruments, NoCall
    from shmetrics.hooks.oslo_messaging.outcomes import Outcomes

    calls = Recorder(rpc_received_key, lambda key: NoCall())
    outcomes = Outcomes(None, Instruments(*(lambda labels: NoCall(),) * 4), lambda key: {})
    return tracing.Tracing(switches.setup(conf)).requests(
        calls, outcomes, oslo_messaging.Target(topic="compute")
    )


BASE = new_id()
FORGED: dict[str, tuple[object, str]] = {
    "no headers": ([], "malformed"),
    "a text": ("x", "malformed"),
    "unsigned": ({headers.INFO: signed(base_id=BASE)[headers.INFO]}, "unsigned"),
    "signed by another": (signed("not ours", base_id=BASE), "signature"),
    "a megabyte": (signed(base_id="a" * 1_000_000), "oversized"),
    "no texts": ({headers.INFO: [1], headers.HMAC: {"a": 1}}, "malformed"),
    "no UUID": (signed(base_id="x"), "malformed"),
}


def test_forged_traces_start_nothing_and_are_counted(shm: Node, configured: Configured) -> None:
    conf = configured(**RPC)
    for what, (trace, reason) in FORGED.items():
        before = refused(shm).get(("rpc", reason), 0)
        (message,) = received(conf, trace)
        message.acknowledge()
        assert profiler.get() is None, what
        message.reply()
        assert message.done == ["acknowledged", "replied"]
        assert refused(shm)["rpc", reason] == before + 1, what
    assert spans(shm, BASE) == []


def test_a_replayed_message_adds_to_its_own_trace_only(shm: Node, configured: Configured) -> None:
    base_id = new_id()
    for message in received(configured(**RPC), *[signed(base_id=base_id)] * 3):
        message.acknowledge()
        message.reply()
    assert names(spans(shm, base_id)) == ["rpc"] * 3


@pytest.mark.parametrize("way", ["replied", "failed", "requeued", "dropped", "never worked on"])
def test_a_message_leaves_no_trace_in_its_thread_however_it_ends(
    shm: Node, configured: Configured, way: str
) -> None:
    base_id = new_id()
    (message,) = received(configured(**RPC), signed(base_id=base_id))
    assert profiler.get() is None
    if way != "never worked on":
        message.acknowledge()
        assert here() == base_id
    if way == "failed":
        message.reply(failure=(ValueError, ValueError("not so"), None))
    elif way in ("replied", "requeued"):
        {"replied": message.reply, "requeued": message.requeue}[way]()
    del message
    gc.collect()
    assert profiler.get() is None
    found = spans(shm, base_id)
    error = {"failed": "ValueError", "dropped": "Unanswered"}.get(way)
    assert [(span["stop_info"] or {}).get("etype") for span in found] == (
        [] if way == "never worked on" else [error]
    )


def test_nothing_stays_after_teardown(shm: Node, configured: Configured, serve: Serve) -> None:
    """Check that a driver that is there still goes on without tracing."""
    endpoint = Compute()
    client = serve(configured(**RPC), endpoint)
    switches.teardown()
    told: list[Any] = []
    notifier.set(told.append)
    traced(lambda: client.call({}, "build"))
    notifier.set(notifier._noop_notifier)
    assert endpoint.seen == [None]
    assert told == []


def test_a_server_that_is_there_still_goes_on_without_after_teardown(
    shm: Node, configured: Configured
) -> None:
    wrap = wrapping(configured(**RPC))
    switches.teardown()
    message = wrap(Message(signed(base_id=new_id())))
    message.acknowledge()
    assert profiler.get() is None
    message.reply()


# ---- notifications ------------------------------------------------------------------------------


@pytest.fixture
def notify(configured: Configured) -> Iterator[Callable[[], None]]:
    """Yield a function that sends a notification, whose payload is a secret."""
    transport = oslo_messaging.get_notification_transport(configured(**RPC), FAKE)
    sender = oslo_messaging.Notifier(
        transport, publisher_id="h", driver="messaging", topics=["notifications"]
    )
    yield lambda: sender.info({}, "instance.create", {"password": "secret"})
    notifier.set(notifier._noop_notifier)
    transport.cleanup()


def test_a_notification_of_a_trace_is_a_span(notify: Callable[[], None]) -> None:
    told: list[dict[str, Any]] = []
    notifier.set(told.append)
    notify()
    assert told == []
    traced(notify)
    assert [each["name"] for each in told] == ["notification-start", "notification-stop"]
    about = {"topic": "notifications.info", "event_type": "instance.create", "priority": "INFO"}
    assert told[0]["info"]["notification"] == about
    assert "secret" not in str(told)
    switches.teardown()
    notifier.set(told.append)
    traced(notify)
    assert len(told) == 2


def test_a_notifier_that_sends_notifications_makes_no_span_of_them(
    notify: Callable[[], None],
) -> None:
    """OSProfiler's driver messaging:// sends each start and each stop as one."""
    told: list[str] = []

    def tell(info: dict[str, Any]) -> None:
        told.append(info["name"])
        notify()

    notifier.set(tell)

    def work() -> None:
        with profiler.Trace("wsgi"):
            pass

    traced(work)
    assert told == ["wsgi-start", "wsgi-stop"]


def test_a_notifier_may_send_by_the_transport_that_asks_for_it(
    configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    """The transport sets a notifier, whose driver makes a transport of the same configuration."""
    conf = configured(**RPC | {"connection_string": "messaging://"})
    register_options(conf)
    conf.set_override("transport_url", FAKE)
    transport = oslo_messaging.get_notification_transport(conf)
    told: Any = notifier.get()
    assert told.__self__.get_name() == "messaging"
    traced(lambda: profiler.start("work"))
    transport.cleanup()
    conf.clear_override("transport_url")
    assert caplog.messages == []


def test_a_notification_that_is_not_sent_ends_its_span(
    configured: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    work = tracing.Tracing(switches.setup(configured(**RPC)))
    notifier.set(told.append)

    def send(*_: object) -> None:
        raise LookupError("secret")

    def fail() -> None:
        with pytest.raises(LookupError):
            work.notify(send, object(), {}, {})

    traced(fail)
    notifier.set(notifier._noop_notifier)
    assert [each["name"] for each in told] == ["notification-start", "notification-stop"]
    assert told[1]["info"]["etype"] == "LookupError"
    assert "secret" not in str(told)

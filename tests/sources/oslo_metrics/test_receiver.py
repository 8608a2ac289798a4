# SPDX-License-Identifier: Apache-2.0
"""Every datagram is either folded as it was meant, or counted by the reason why not."""

import json
import logging
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from shmetrics.sources.oslo_metrics import Receiver
from shmetrics.sources.oslo_metrics.message import CallEvent, Refused, decode
from shmetrics.sources.oslo_metrics.receiver import MOST_WAITING, WAIT_SECONDS

from .conftest import FakeLanes

CLIENT = RPC_CLIENT.name
SERVER = RPC_SERVER.name


def datagram(name: str, action: str, value: float | None = None, **labels: object) -> bytes:
    return json.dumps(
        {
            "module": "oslo_messaging",
            "name": name,
            "action": {"action": action, "value": value},
            "labels": labels,
        }
    ).encode()


def test_both_sides_and_all_their_metrics(tables: Any) -> None:
    take = tables.receiver.take
    for side, topic in (("client", "compute"), ("server", "network")):
        take(datagram(f"rpc_{side}_invocation_start_total", "inc", topic=topic))
        take(datagram(f"rpc_{side}_invocation_start_total", "inc", topic=topic))
        take(datagram(f"rpc_{side}_invocation_end_total", "inc", 1, topic=topic))
        take(datagram(f"rpc_{side}_processing_seconds", "observe", 0.05, topic=topic))
        take(datagram(f"rpc_{side}_processing_seconds", "observe", 5, topic=topic))
        take(datagram(f"rpc_{side}_exception_total", "inc", topic=topic, exception="Boom"))
    assert tables.datagrams == {"taken": 12}
    for prefix, topic in ((CLIENT, "compute"), (SERVER, "network")):
        cells = [2, 1, 5_050_000_000, 0, 1, 0, 1]
        assert tables.shown(prefix) == [({"topic": topic}, cells)]
        assert tables.exceptions(prefix) == [({"topic": topic, "exception": "Boom"}, 1.0)]


def test_label_values_are_text(tables: Any) -> None:
    tables.receiver.take(
        datagram(
            "rpc_client_invocation_start_total",
            "inc",
            fanout=True,
            timeout=60.0,
            version=5.25,
            server=None,
            topic='q"\\\n🜁',
            method=7,
        )
    )
    labels = {"fanout": "True", "timeout": "60", "version": "5.25", "topic": 'q"\\\n🜁'}
    assert tables.shown(CLIENT)[0][0] == {**labels, "method": "7"}


def test_a_uuid_in_the_name_of_a_target_is_no_label(tables: Any) -> None:
    for _ in range(3):
        name = f"engine-{uuid4()}"
        start = "rpc_client_invocation_start_total"
        tables.receiver.take(datagram(start, "inc", server=name, topic=name, method="m"))
    ((labels, cells),) = tables.shown(CLIENT)
    shown = "engine-__uuid__"
    assert (labels, cells[0]) == ({"server": shown, "topic": shown, "method": "m"}, 3)


REFUSED = [
    ("not_json", b""),
    ("not_json", b"\xff\xfe"),
    ("not_json", b'{"module":'),
    ("not_json", rb'{"module": "\ud800"}'),
    ("bad_message", b"[]"),
    ("bad_message", b"{}"),
    ("bad_message", b"[" * 60000),
    ("bad_message", datagram("rpc_client_invocation_start_total", "inc", topic=["a"])),
    ("not_json", datagram("rpc_client_processing_seconds", "observe", float("nan"))),
    ("unknown_module", datagram("x", "inc").replace(b"oslo_messaging", b"oslo_db")),
    ("unknown_metric", datagram("rpc_client_invocation_total", "inc")),
    ("unknown_metric", datagram("__class__", "inc")),
    ("bad_action", datagram("rpc_client_processing_seconds", "inc")),
    ("bad_action", datagram("rpc_client_invocation_end_total", "observe", 1)),
    ("bad_action", datagram("rpc_client_invocation_end_total", "set", 1)),
    ("bad_value", datagram("rpc_client_invocation_end_total", "inc", 2)),
    ("bad_value", datagram("rpc_client_invocation_end_total", "inc", -1)),
    ("bad_value", datagram("rpc_client_processing_seconds", "observe")),
    ("bad_value", datagram("rpc_client_processing_seconds", "observe", -0.1)),
    ("bad_value", datagram("rpc_client_processing_seconds", "observe", 1e300)),
    ("bad_labels", datagram("rpc_client_invocation_end_total", "inc", endpoint="server's")),
    ("bad_labels", datagram("rpc_client_invocation_end_total", "inc", exception="none here")),
    ("bad_labels", datagram("rpc_server_invocation_end_total", "inc", timeout=1)),
]


@pytest.mark.parametrize(("reason", "raw"), REFUSED)
def test_what_is_wrong_is_counted_and_harms_nobody(tables: Any, reason: str, raw: bytes) -> None:
    tables.receiver.take(raw)
    assert tables.datagrams == {reason: 1}
    assert tables.shown(CLIENT) == tables.shown(SERVER) == []
    assert tables.exceptions(CLIENT) == tables.exceptions(SERVER) == []


def test_a_datagram_that_was_cut_short(tables: Any) -> None:
    tables.receiver.take(datagram("rpc_client_invocation_start_total", "inc"), True)
    assert tables.datagrams == {"oversized": 1}


def test_each_reason_is_logged_once(tables: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            tables.receiver.take(b"{")
            tables.receiver.take(b"[]")
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "oslo.metrics datagram refused (not_json)",
        "oslo.metrics datagram refused (bad_message)",
    ]
    assert tables.datagrams == {"not_json": 3, "bad_message": 3}


class BrokenFamily:
    """Families whose store is full."""

    def start(self, values: tuple[str, ...], /) -> None:
        raise MemoryError("the store is full")

    def end(self, values: tuple[str, ...], /) -> None:
        self.start(values)

    def observe(self, values: tuple[str, ...], seconds: float, /) -> None:
        self.start(values)

    def exception(self, values: tuple[str, ...], exception: str, /) -> None:
        self.start(values)


def test_a_family_that_raises_is_counted() -> None:
    results: list[str] = []
    receiver = Receiver({CLIENT: (BrokenFamily(), ())}, results.append, FakeLanes())
    receiver.take(datagram("rpc_client_invocation_start_total", "inc"))
    receiver.take(datagram("rpc_server_invocation_start_total", "inc"))
    assert results == ["failed", "failed"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["rpc_client_processing_seconds", "rpc_server_exception_total", "rpc_client_exception_total"]
)


@given(st.binary())
def test_any_bytes_are_understood_or_refused(raw: bytes) -> None:
    """Check that garbage is decoded or refused, and raises nothing."""
    try:
        event = decode(raw)
    except Refused:
        return
    assert isinstance(event, CallEvent)


@given(
    module=st.just("oslo_messaging") | JSON,
    name=NAMES | JSON,
    action=st.fixed_dictionaries({"action": st.sampled_from(["inc", "observe"]) | JSON,
                                  "value": st.none() | st.floats() | JSON}) | JSON,
    labels=st.dictionaries(st.sampled_from(["topic", "exception", "nonsense"]), JSON) | JSON,
)  # fmt: skip
def test_any_message_is_understood_or_refused(**message: Any) -> None:
    try:
        raw = json.dumps(message).encode()
    except UnicodeEncodeError:
        return
    try:
        event = decode(raw)
    except Refused:
        return
    assert 0 <= event.seconds < 2**63 / 1e9
    assert all(isinstance(value, str) for value in event.labels.values())


# ---- what a lane has already -------------------------------------------------------------------

START = datagram("rpc_client_invocation_start_total", "inc", topic="compute")


def starts(tables: Any) -> int:
    return sum(cells[0] for _, cells in tables.shown(CLIENT))


def test_a_family_that_the_process_records_counts_once(tables: Any) -> None:
    tables.lanes.known = {7: CLIENT}
    tables.receiver.take(START, pid=7)
    assert (starts(tables), tables.datagrams) == (0, {"recorded": 1})
    tables.receiver.take(datagram("rpc_server_invocation_start_total", "inc"), pid=7)
    tables.receiver.settle(is_last=True)
    assert tables.datagrams == {"recorded": 1, "taken": 1}


def test_what_comes_before_the_lane_waits_for_it(tables: Any) -> None:
    tables.receiver.take(START, pid=7)
    tables.receiver.take(START, pid=8)
    tables.seconds = WAIT_SECONDS / 2
    tables.receiver.settle()
    assert (starts(tables), tables.datagrams) == (0, {})
    tables.lanes.undrained = {7: CLIENT}
    tables.seconds = WAIT_SECONDS
    tables.receiver.settle()
    assert (starts(tables), tables.datagrams) == (1, {"recorded": 1, "taken": 1})


def test_no_more_wait_than_may(tables: Any) -> None:
    for _ in range(MOST_WAITING + 3):
        tables.receiver.take(START, pid=7)
    assert starts(tables) == 3
    tables.receiver.settle(is_last=True)
    assert starts(tables) == MOST_WAITING + 3


def test_a_process_that_cannot_be_seen_counts(tables: Any) -> None:
    tables.receiver.take(START)
    assert starts(tables) == 1

# SPDX-License-Identifier: Apache-2.0
"""Transports for the driver's tests, and a recording stand-in for the emitter behind it."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    import oslo_messaging

from oslo_config import cfg

from shmetrics.hooks.oslo_messaging import failures, instruments
from tests.servers.patience import until


@dataclass
class Recording:
    """An emitter that remembers: every start and end, by family and labels."""

    starts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    ends: list[tuple[str, dict[str, str], str | None]] = field(default_factory=list)
    timeouts: list[tuple[str, float | None]] = field(default_factory=list)
    counted: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    made: int = 0
    open: dict[int, object] = field(default_factory=dict)

    def instrument(self, family: str) -> Callable[[Mapping[str, str]], "RecordedCall"]:
        def make(labels: Mapping[str, str]) -> RecordedCall:
            self.made += 1
            return RecordedCall(self, family, dict(labels))

        return make

    def count(self, family: str) -> Callable[[Mapping[str, str]], None]:
        return lambda labels: self.counted.append((family, dict(labels)))

    def started(self, family: str) -> list[dict[str, str]]:
        return [labels for name, labels in self.starts if name == family]

    def ended(self, family: str) -> list[tuple[dict[str, str], str | None]]:
        return [(labels, exception) for name, labels, exception in self.ends if name == family]

    def settled(self, family: str, calls: int) -> list[tuple[dict[str, str], str | None]]:
        """Wait until *family* has *calls* ends, and return them; there must be no more of them."""
        until(lambda: len(self.ended(family)) >= calls, lambda: self, 20)
        assert len(self.started(family)) == len(self.ended(family)) == calls
        return self.ended(family)


@dataclass
class RecordedCall:
    recording: Recording
    family: str
    labels: dict[str, str]

    def start(
        self, exemplar: Mapping[str, str] | None = None, timeout_seconds: float | None = None
    ) -> int:
        token = len(self.recording.starts)
        self.recording.starts.append((self.family, self.labels))
        self.recording.timeouts.append((self.family, timeout_seconds))
        self.recording.open[token] = self
        return token

    def end(self, token: int, exception: str | None = None) -> None:
        if self.recording.open.pop(token, None) is not None:
            self.recording.ends.append((self.family, self.labels, exception))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recording]:
    """Yield the emitter of this test's drivers; the test fails if the hook failed at anything."""
    recording = Recording()
    families = ("rpc_client", "rpc_server", "notification_client", "notification_server")
    counts = ("expected_exception", "undeliverable_reply")
    loaded = instruments.Instruments(
        *(recording.instrument(family) for family in families),
        *(recording.count(family) for family in counts),
    )
    monkeypatch.setattr(instruments, "load", lambda: loaded)
    monkeypatch.setattr(failures, "count", Counter())
    yield recording
    assert not failures.count
    assert not recording.open


@pytest.fixture
def conf() -> Iterator[Any]:
    """Yield oslo.config's global object, in which oslo.messaging registers all its options."""
    cfg.CONF([], project="shmetrics", default_config_files=[])
    yield cfg.CONF
    cfg.CONF.reset()


@pytest.fixture(params=["fake://", "kombu+memory://"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of real drivers of oslo.messaging that need no broker, behind ours."""
    return f"shmetrics+{request.param}"


@pytest.fixture
def transport(conf: Any, url: str, recording: Recording) -> Iterator[Any]:
    transport = oslo_messaging.get_rpc_transport(conf, url)
    yield transport
    transport.cleanup()


@pytest.fixture
def serve(transport: Any) -> Iterator[Callable[..., Any]]:
    """Yield `serve(endpoints, **target)`, which starts an RPC server until the end of the test."""
    servers: list[Any] = []

    def serve(endpoints: list[Any], **target: Any) -> Any:
        target = {"topic": "compute", "server": "host-a", **target}
        server = oslo_messaging.get_rpc_server(
            transport, oslo_messaging.Target(**target), endpoints
        )
        server.start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop()
        server.wait()

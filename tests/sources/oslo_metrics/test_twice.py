# SPDX-License-Identifier: Apache-2.0
"""A service that is measured and sends oslo.metrics's datagrams: each of its events counts once."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
    import oslo_messaging
    from oslo_messaging._metrics import client as stock

from oslo_config import cfg

from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER
from shmetrics.sources.oslo_metrics import Listener, Receiver
from shmetrics.unix_socket import Access
from tests.nodes.loopback import Loopback, loopback
from tests.servers.patience import until

__all__ = ["loopback"]

STARTS = f"{RPC_CLIENT.name}_invocation_start_total"


class Endpoint:
    def build(self, ctxt: Any) -> None: ...

    def fail(self, ctxt: Any) -> None:
        raise ValueError("not so")


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield the configuration of a service that sends datagrams."""
    monkeypatch.setattr(stock, "METRICS_COLLECTOR", None)
    path = tmp_path / "service.conf"
    path.write_text(
        "[oslo_messaging_metrics]\nmetrics_enabled = true\nmetrics_thread_stop_timeout = 1\n"
        f"metrics_socket_file = {tmp_path / 'metrics.sock'}\n"
    )
    cfg.CONF([], project="service", default_config_files=[str(path)])
    yield cfg.CONF
    cfg.CONF.reset()


def do(conf: Any, url: str, calls: int) -> None:
    """Make a cast, and then calls, of which the last fails."""
    transport = oslo_messaging.get_rpc_transport(conf, url)
    target = oslo_messaging.Target(topic="t", server="s")
    server = oslo_messaging.get_rpc_server(transport, target, [Endpoint()])
    server.start()
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="t"))
    client.cast({}, "build")
    for _ in range(calls - 1):
        client.call({}, "build")
    with pytest.raises(ValueError, match="not so"):
        client.call({}, "fail")
    server.stop()
    server.wait()
    transport.cleanup()


@pytest.mark.slow
def test_each_event_counts_once(conf: Any, tmp_path: Path, loopback: Loopback) -> None:
    results: list[str] = []
    families = {
        definition.name: (loopback.collector.families.define(definition), definition.label_names)
        for definition in (RPC_CLIENT, RPC_SERVER)
    }
    receiver = Receiver(families, results.append, loopback.collector)  # type: ignore[arg-type]
    listener = Listener(str(tmp_path / "metrics.sock"), Access(0o600), receiver.take)

    def is_all_read() -> bool:
        listener.read_batch()
        return not stock.get_collector(conf).send_thread.is_alive()  # it ends after a second

    do(conf, "shmetrics+kombu+memory://", 5)
    until(is_all_read, lambda: results, 20)
    receiver.settle(is_last=True)
    # A start, an end and a duration of each; but a start and an exception of the one that fails.
    assert len(results) == 5 * 3 + 2
    assert set(results) == {"recorded"}
    found = loopback.samples()
    assert found.sum(STARTS) == 6
    assert found.sum(f"{RPC_CLIENT.name}_invocation_end_total") == 6
    assert found.sum(f"{RPC_CLIENT.name}_exception_total") == 1
    assert found.sum(f"{RPC_SERVER.name}_invocation_start_total") == 6
    (lane,) = loopback.collector.lanes()
    assert lane["sent_twice"] == len(results)
    listener.close()

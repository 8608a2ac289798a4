# SPDX-License-Identifier: Apache-2.0
"""The driver in processes as services make them: with greenlets, and forked after the transport."""

import json
import os
import subprocess
import sys
import textwrap
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.servers.collector import Collector
from tests.servers.patience import PATIENT
from tests.servers.processes import until

EVENTLET = """
    import warnings
    warnings.simplefilter("ignore")
    import eventlet
    eventlet.monkey_patch()
    import json
    import oslo_messaging as om
    from oslo_config import cfg

    class Nested:
        def outer(self, ctxt):
            return client.prepare(timeout=20).call({}, "inner") + 1

        def inner(self, ctxt):
            eventlet.sleep(0)
            return 1

    cfg.CONF([], default_config_files=[])
    transport = om.get_rpc_transport(cfg.CONF, "shmetrics+kombu+memory://")
    client = om.get_rpc_client(transport, om.Target(topic="t"))
    server = om.get_rpc_server(transport, om.Target(topic="t", server="s"), [Nested()])
    server.start()
    calls = [eventlet.spawn(client.call, {}, "outer") for _ in range(5)]
    print(json.dumps([call.wait() for call in calls]))
    server.stop()
    server.wait()
    transport.cleanup()
"""

PREFORK = """
    import os, warnings
    warnings.simplefilter("ignore")
    import oslo_messaging as om
    from oslo_config import cfg

    cfg.CONF([], default_config_files=[])
    transport = om.get_rpc_transport(cfg.CONF, "shmetrics+fake://")
    client = om.get_rpc_client(transport, om.Target(topic="t"))
    client.cast({}, "m")
    for _ in range(3):
        if os.fork() == 0:
            client.cast({}, "m")
            client.prepare(server="s").cast({}, "m")
            os._exit(0)
    for _ in range(3):
        os.wait()
    client.cast({}, "m")
    print("null")
"""


UNREADABLE = """
    import warnings
    warnings.simplefilter("ignore")
    import oslo_messaging as om
    from oslo_config import cfg

    cfg.CONF([], default_config_files=[])
    transport = om.get_rpc_transport(cfg.CONF, "shmetrics+fake://")
    client = om.get_rpc_client(transport, om.Target(topic="t", server=["no", "string"]))
    for _ in range(3):
        client.prepare(fanout=True).cast({}, "m")
    print("null")
"""


def run(script: str, collector: Collector) -> Any:
    ran = subprocess.run(
        [sys.executable, "-c", PATIENT + textwrap.dedent(script)],
        env={**os.environ, "SHMETRICS_RUNTIME_DIR": str(collector.runtime_dir)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def shown(
    collector: Collector, family: str, labels: tuple[str, ...] = ("method", "server")
) -> dict[tuple[str, ...], float]:
    """Return the values of a counter by `labels`, once all its processes are gone."""
    until(lambda: not collector.lanes(), lambda: f"lanes: {collector.lanes()}", 20)
    with urllib.request.urlopen(f"{collector.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        tuple(sample.labels[label] for label in labels): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
        if sample.name == family
    }


def test_greenlets(collector: Collector) -> None:
    """Check calls inside of calls, all in one thread: none ends another one's."""
    assert run(EVENTLET, collector) == [2] * 5
    for moment in ("start", "end"):
        client = shown(collector, f"oslo_messaging_rpc_client_invocation_{moment}_total")
        assert client == {("outer", ""): 5, ("inner", ""): 5}
        server = shown(collector, f"oslo_messaging_rpc_server_invocation_{moment}_total")
        assert server == {("outer", "s"): 5, ("inner", "s"): 5}


def test_a_transport_that_was_made_before_the_fork(collector: Collector) -> None:
    run(PREFORK, collector)
    ends = shown(collector, "oslo_messaging_rpc_client_invocation_end_total")
    assert ends == {("m", ""): 5, ("m", "s"): 3}


def test_what_could_not_be_measured_is_shown(collector: Collector) -> None:
    run(UNREADABLE, collector)
    failures = shown(collector, "oslo_messaging_hook_failures_total", ("cause",))
    assert failures == {("TypeError",): 3}
    assert shown(collector, "oslo_messaging_rpc_client_invocation_start_total") == {}

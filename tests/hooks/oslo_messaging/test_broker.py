# SPDX-License-Identifier: Apache-2.0
"""From stock services on a real broker, through a collector, to what Prometheus answers.

Two clients and three servers of oslo.messaging and a listener, a process each. One half of them is
switched on by the transport URL alone, the other by the environment alone. Every label of every
family on both sides is compared with what was done: the exact sets of labels, and the exact counts.
"""

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

import shmetrics
from shmetrics.cli import main
from tests.hooks.oslo_messaging import scenario
from tests.hooks.oslo_messaging.scenario import FAMILIES, Labels
from tests.servers.collector import Collector
from tests.servers.patience import until
from tests.servers.processes import ServerProcess
from tests.servers.prometheus import Prometheus
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.services import SWITCHED_ON, ConfigFile, Do, Start, stop

Samples = list[tuple[dict[str, str], float]]


def test_every_label_of_every_family(
    prometheus: Callable[..., Prometheus],
    collector: Collector,
    start: Start,
    do: Do,
    config_file: ConfigFile,
    rabbitmq: RabbitMQ,
) -> None:
    nova = config_file("nova", control_exchange="nova")
    plain = {"transport_url": rabbitmq.url}
    plain_nova = config_file("plain-nova", control_exchange="nova", **plain)
    cinder = config_file("cinder", control_exchange="cinder", rpc_response_timeout=30, **plain)
    compute = [
        start(
            "nova-compute",
            config,
            "serve",
            env,
            target={"topic": "compute", "server": host},
            endpoints="compute",
        )
        for host, config, env in (("host-a", nova, {}), ("host-b", plain_nova, SWITCHED_ON))
    ]
    storage = {"exchange": "storage", "topic": "volume"}
    target = {**storage, "server": "host-c"}
    volume = start("", cinder, "serve", SWITCHED_ON, target=target, endpoints="volume")
    exchanges = [{"topic": "notifications"}, {"topic": "notifications", "exchange": "cinder"}]
    # Both at once count once.
    ear = start("ceilometer", nova, "hear", SWITCHED_ON, targets=exchanges)
    scraper = prometheus(f"{collector.url}/metrics")

    target = {"topic": "compute", "version": "5.0"}
    assert do("nova-api", nova, target, scenario.NOVA_STEPS) == scenario.NOVA_OUTCOMES
    target = {**storage, "namespace": "admin", "version": "2.1"}
    outcomes = do("cinder-api", cinder, target, scenario.CINDER_STEPS, SWITCHED_ON)
    assert outcomes == scenario.CINDER_OUTCOMES

    for prefix, (calls, _) in FAMILIES.items():  # casts, notifications: still under way
        ends = f"sum({prefix}_invocation_end_total)"
        scraper.wait_for(ends, at_least(sum(calls.values())))
    check(scraper)
    assert stop([*compute, volume, ear]) == [0] * 4
    # Totals outlive the processes that made them.
    scraper.wait_for("sum(shmetrics_lanes) == 0")
    check(scraper)


def test_a_call_that_hangs_and_a_server_that_is_killed(
    prometheus: Callable[..., Prometheus],
    collector: Collector,
    start: Start,
    do: Do,
    config_file: ConfigFile,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Check that a call is shown while it hangs, and is counted if its process dies inside it."""
    nova = config_file("nova", control_exchange="nova")
    target = {"topic": "compute", "server": "host-a"}
    server = start("nova-compute", nova, "serve", target=target, endpoints="compute")
    scraper = prometheus(f"{collector.url}/metrics")
    hanging = [
        {"cast": "stall", "arguments": {"seconds": 600}},
        {"call": "stall", "prepare": {"timeout": 1}, "arguments": {"seconds": 600}},
    ]
    do("nova-api", nova, {"topic": "compute", "version": "5.0"}, hanging)

    which = '{side="server",topic="compute",method="stall"}'
    scraper.wait_for(f"shmetrics_rpc_in_flight{which} == 2")
    scraper.wait_for(f"shmetrics_rpc_overdue{which} == 1")  # a cast has no timeout
    age = scraper.wait_for(f"shmetrics_rpc_oldest_in_flight_seconds{which} > 0")[0][1]
    scraper.wait_for(f"shmetrics_rpc_oldest_in_flight_seconds{which} > {age}")
    with urllib.request.urlopen(f"{collector.url}/api/v1/calls", timeout=10) as answer:
        cast, call = json.load(answer)
    assert call["labels"]["endpoint"] == "Compute"
    assert (call["pid"], call["process"], call["server"]) == (server.pid, "nova-compute", "host-a")
    assert (cast["timeout_seconds"], cast["lateness"]) == (None, "")
    assert (call["timeout_seconds"], call["lateness"]) == (1, "its client has given up")

    build = partial(do, "nova-api", nova, TARGET, [BUILD])
    check_stopped(server, collector, scraper, build, capsys)

    os.kill(server.pid, signal.SIGKILL)
    scraper.wait_for(f"shmetrics_rpc_abandoned_total{which} == 2")
    assert scraper.samples(f"shmetrics_rpc_in_flight{which}")[0][1] == 0
    assert scraper.samples("sum(oslo_messaging_rpc_server_invocation_start_total)")[0][1] == 3
    assert scraper.samples("sum(oslo_messaging_rpc_server_invocation_end_total)")[0][1] == 1
    failed = said(capsys, "calls", "--failed", *at(collector)).splitlines()
    assert sum("its process died" in line for line in failed) == 2
    assert sum("MessagingTimeout" in line for line in failed) == 1


TARGET = {"topic": "compute", "version": "5.0"}
BUILD = {"call": "build", "prepare": {"server": "host-a"}, "arguments": {"name": "x"}}


def at(collector: Collector) -> tuple[str, str]:
    return "--runtime-dir", str(collector.runtime_dir)


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    main(command)
    return capsys.readouterr().out


def check_stopped(
    server: ServerProcess,
    collector: Collector,
    scraper: Prometheus,
    build: Callable[[], Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Stop a server, call it, and find it as an operator does: which call waits, and for whom."""
    os.kill(server.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as threads:
        built = threads.submit(build)
        try:
            silent = f"nova-compute (pid {server.pid}) is stopped"

            def waiting() -> list[str]:
                lines = said(capsys, "calls", *at(collector)).splitlines()
                return [line for line in lines if silent in line]

            until(waiting, waiting, 60)
            (line,) = waiting()
            for cell in ("rpc client", "compute", "build", "host-a", "60\u202fs", "nova-api"):
                assert cell in line
            assert silent in said(capsys, "top", "--once", "--interval", "0.2", *at(collector))
            with urllib.request.urlopen(collector.url, timeout=10) as answer:
                assert silent in answer.read().decode()
            mend = f"a signal has stopped it; kill -CONT {server.pid}"
            for command in ("check", "lanes"):
                assert mend in said(capsys, command, *at(collector))
            scraper.wait_for('shmetrics_processes_halted{state="stopped"} == 1')
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert built.result() == ["built x"]
    assert silent not in said(capsys, "calls", *at(collector))
    scraper.wait_for('shmetrics_processes_halted{state="stopped"} == 0')


def at_least(total: float) -> Callable[[Samples], bool]:
    return lambda found: bool(found) and found[0][1] >= total


def check(scraper: Prometheus) -> None:
    """Compare all that Prometheus has of the four families with what was done."""
    for prefix, (calls, exceptions) in FAMILIES.items():
        assert shown(scraper.samples(f"{prefix}_invocation_start_total")) == calls
        assert shown(scraper.samples(f"{prefix}_invocation_end_total")) == calls
        assert shown(scraper.samples(f"{prefix}_exception_total")) == exceptions
        assert shown(scraper.samples(f"{prefix}_processing_seconds_count")) == calls
        assert shown(scraper.samples(f"{prefix}_processing_seconds_sum")).keys() == calls.keys()
        check_buckets(scraper, prefix, calls)
    stalled = scraper.samples('oslo_messaging_rpc_client_processing_seconds_sum{method="stall"}')
    assert 1 <= stalled[0][1] < 60  # it timed out after one
    shown_names = {labels["__name__"] for labels, _ in scraper.samples('{__name__=~"oslo_.+"}')}
    names = {name for name in shown_names if not name.endswith("_created")}
    parts = ["invocation_start_total", "invocation_end_total", "exception_total"]
    parts += [f"processing_seconds_{part}" for part in ("bucket", "count", "sum")]
    quiet = {f"oslo_messaging_notification_{side}_exception_total" for side in ("client", "server")}
    assert names == {f"{prefix}_{part}" for prefix in FAMILIES for part in parts} - quiet
    open_calls = scraper.samples("sum(shmetrics_rpc_in_flight)")
    assert not open_calls or open_calls[0][1] == 0


def check_buckets(scraper: Prometheus, prefix: str, calls: Mapping[Labels, int]) -> None:
    """Check that each series has all bounds, never falling, and that the last one counts every
    call."""
    series: dict[Labels, dict[float, float]] = {}
    for labels, value in scraper.samples(f"{prefix}_processing_seconds_bucket"):
        bound = float(labels.pop("le"))
        key = next(iter(shown([(labels, value)])))
        series.setdefault(key, {})[bound] = value
    assert series.keys() == calls.keys()
    for key, buckets in series.items():
        assert sorted(buckets) == [*shmetrics.DEFAULT_BUCKETS, float("inf")]
        counts = [count for _, count in sorted(buckets.items())]
        assert counts == sorted(counts)
        assert counts[-1] == calls[key]


def shown(samples: Samples) -> dict[Labels, float]:
    """Return samples by their labels, without the name."""
    return {
        frozenset((k, v) for k, v in labels.items() if k != "__name__"): value
        for labels, value in samples
    }

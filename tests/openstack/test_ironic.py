# SPDX-License-Identifier: Apache-2.0
"""Ironic: nodes of fake hardware that are enrolled, switched on and made available."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.openstack import counted
from tests.openstack.cloud import Cloud
from tests.openstack.environments import environment
from tests.openstack.ironic import PACKAGES, Ironic
from tests.openstack.logs import ours_in
from tests.openstack.result import Result
from tests.openstack.telemetry import trace_headers
from tests.servers.patience import until
from tests.servers.rabbitmq import RabbitMQ

TAG: Final = re.compile(r"<[^>]*>")
HANGS: Final = re.compile(
    r"rpc client ironic\.conductor_manager validate_driver_interfaces node-1 \S+ \S+ 60 s "
    r"ironic-conductor \(pid (\d+)\) is stopped ironic-api \d+"
)


@pytest.fixture
def cloud(tmp_path: Path, rabbitmq: RabbitMQ) -> Cloud[Ironic]:
    return Cloud(Ironic, environment("ironic", PACKAGES), tmp_path, rabbitmq)


def work(ironic: Ironic, name: str) -> str:
    """Enroll a node and make it available, in one trace; return the trace's base id."""
    base_id = str(uuid.uuid4())
    headers = trace_headers(base_id)
    node = ironic.enroll(name, **headers)
    ironic.provision(node, "provide", "available", **headers)
    power = ironic.api("PUT", f"{node}/states/power", {"target": "power on"}, **headers)
    assert power[0] == 202, power
    until(
        lambda: ironic.api("GET", node)[1].get("power_state") == "power on",
        lambda: ironic.api("GET", node),
        60,
    )
    unknown = ironic.api("PUT", f"{node}/management/boot_device", {"boot_device": "x"}, **headers)
    assert unknown[0] == 400, unknown
    return base_id


def hanging(text: str) -> list[str]:
    """Return the pids of stopped conductors at which a text says that a call hangs."""
    return HANGS.findall(" ".join(text.split()))


def test_every_call_is_counted_as_oslo_metrics_counts_it(
    cloud: Cloud[Ironic], result: Result
) -> None:
    with cloud.run() as (ironic, measured):
        assert measured.processes(ironic) == set()
        work(ironic, "one")
        assert measured.processes(ironic) == {"ironic-api", "ironic-conductor"}
        ironic.stop()
    assert ours_in(ironic.logs()) == []
    result.add("Ironic", "calls, against datagrams", counted.compare(measured))
    result.add_label_sets("a node is enrolled and switched on", measured.samples)


def test_requests_are_traced_although_its_api_does_not_initialize_osprofiler(
    cloud: Cloud[Ironic], result: Result
) -> None:
    on = {"trace_rpc": True, "trace_wsgi": True}
    with cloud.run(profiler=on) as (ironic, measured):
        tree = measured.tree(work(ironic, "traced"))
        ironic.stop()
    assert ours_in(ironic.logs()) == []
    assert tree.parents("wsgi")["trace"] > 3
    assert tree.parents("rpc")["wsgi"] > 3
    result.add("Ironic", "requests in a trace", str(tree.parents("wsgi")["trace"]))


def test_a_stopped_conductor_is_found_while_its_client_waits(cloud: Cloud[Ironic]) -> None:
    """Go the way of docs/oslo_messaging.md: which call, whose, since when, who does not answer."""
    with cloud.run() as (ironic, measured), ThreadPoolExecutor() as threads:
        node = ironic.enroll("one")
        with ironic.halted("ironic-conductor"):
            waiting = threads.submit(ironic.api, "GET", f"{node}/validate")
            looks: tuple[Callable[[], str], ...] = (
                lambda: measured.command("calls")[1],
                lambda: measured.command("top", "--once")[1],
                lambda: TAG.sub("", measured.page()),
            )
            for look in looks:
                until(lambda: hanging(look()), look, 30)  # noqa: B023 - it is called here
            (pid,) = hanging(measured.command("calls")[1])
            mend = re.compile(rf"kill -CONT (\d+ )?{pid}\b")  # its master first, if it has one
            assert mend.search(measured.command("lanes")[1])
            status, said = measured.command("check")
            assert (status, bool(mend.search(said))) == (1, True), said
            assert not waiting.done()
        assert waiting.result()[0] == 200
        ironic.stop()


def test_killed_reloaded_and_stopped_it_works_on(cloud: Cloud[Ironic]) -> None:
    with cloud.run() as (ironic, _):
        work(ironic, "before")
        ironic.kill_workers("ironic-conductor")
        work(ironic, "killed")
        ironic.reload("ironic-conductor")
        work(ironic, "reloaded")
        assert set(ironic.stop().values()) == {0}
    assert ours_in(ironic.logs()) == []

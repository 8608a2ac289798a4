# SPDX-License-Identifier: Apache-2.0
"""`shmetrics check`: each thing that is wrong is found, named and comes with its mend."""

import os
import re
import shutil
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import shmetrics
from shmetrics import _ring, config
from shmetrics.cli import findings
from shmetrics.cli.findings import Finding
from shmetrics.cli.lane_text import state_of
from shmetrics.client import collector_client
from shmetrics.collector.collector import Settings
from shmetrics.config.address import Address
from shmetrics.destinations import metrics
from shmetrics.forwarding.report import Counts, Report
from shmetrics.store.limits import Limits
from shmetrics.version import __version__
from tests.nodes.loopback import MIB, Loopback
from tests.servers.collector import Collector


def wrong(found: Any) -> list[str]:
    return [finding.text for finding in found if not finding.good]


@pytest.fixture
def on_tmpfs() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="shm-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


# ---- the command ---------------------------------------------------------------------------------


def test_the_defaults_are_a_valid_file(command: Any, tmp_path: Path) -> None:
    printed = command("check", "--print-default")
    assert (printed.status, printed.err) == (0, "")
    path = tmp_path / "shmetrics.toml"
    path.write_text(printed.out.replace('"127.0.0.1:9464"', '"127.0.0.1:0"'))
    env = {"SHMETRICS_RUNTIME_DIR": str(tmp_path / "none")}
    assert command("check", "--config", str(path), env=env) == (
        0,
        f"ok     {path}: every option is valid\nok     127.0.0.1:0: free to listen on\n",
        "",
    )


def test_a_bad_file(command: Any, tmp_path: Path) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text("[lane]\nrecords = 1000\n")
    assert command("check", "--config", str(path)) == (
        2, "", f"shmetrics: {path}: lane.records: 1000 is not a power of two; try 1024\n"
    )  # fmt: skip


def test_a_file_whose_address_is_taken(command: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = tmp_path / "shmetrics.toml"
        path.write_text(f'listen = "{address}"\nruntime_dir = "{tmp_path}/none"\n')
        outcome = command("check", "--config", str(path))
    assert outcome.status == 1
    assert f"WRONG  {address}: address already in use; choose" in outcome.out


def test_a_collector_that_does_well(
    command: Any, on_tmpfs: Path, tmp_path: Path, emit: Any
) -> None:
    collector = Collector(on_tmpfs, tmp_path / "log")
    try:
        outcome = command("check", "--runtime-dir", str(on_tmpfs))
    finally:
        assert collector.stop() == 0
    first, second, third = outcome.out.splitlines()
    assert outcome.status == 0
    assert first == f"ok     {on_tmpfs}: a directory on tmpfs"
    assert second.startswith(f"ok     {on_tmpfs}: room for ")
    assert third == f"ok     {collector.url}: draining, ready, 0 lanes"


def test_no_collector(command: Any, on_tmpfs: Path) -> None:
    outcome = command("check", "--runtime-dir", str(on_tmpfs))
    assert outcome.status == 1
    assert f"WRONG  {on_tmpfs}: no collector serves here; start one" in outcome.out


# ---- what is looked at ---------------------------------------------------------------------------


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    assert wrong(findings.directory(path)) == [
        f"{path}: No such file or directory; a collector makes it when it starts"
    ]


def test_a_file_instead_of_a_directory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert wrong(findings.directory(str(path))) == [
        f"{path}: this is not a directory; use a directory of your own"
    ]


def test_a_directory_that_others_may_write_to(on_tmpfs: Path) -> None:
    os.chmod(on_tmpfs, 0o777)
    assert wrong(findings.directory(str(on_tmpfs))) == [
        f"{on_tmpfs}: others may replace what is in it; chmod go-w {on_tmpfs}; "
        "use a directory of your own"
    ]


def test_a_directory_of_somebody_else(on_tmpfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.stat(on_tmpfs).st_uid
    if uid == 0:
        os.chown(on_tmpfs, 4711, -1)
        uid = 4711
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert wrong(findings.directory(str(on_tmpfs))) == [
        f"{on_tmpfs}: belongs to uid {uid}, not to uid {uid + 1} or root; "
        "use a directory of your own"
    ]


def test_a_path_that_is_too_long_for_a_socket(on_tmpfs: Path) -> None:
    path = on_tmpfs / ("x" * 100)
    path.mkdir()
    assert wrong(findings.directory(str(path))) == [
        f"{path}/register.sock: too long for a unix socket; use a shorter path"
    ]


def test_a_directory_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "filesystem", lambda path: "ext4")
    (text,) = wrong(findings.directory(str(tmp_path)))
    assert text.startswith(f"{tmp_path}: on ext4, so that what is recorded is written to disk; ")


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw 0 0\n"
        f"tmpfs {tmp_path}/run tmpfs rw 0 0\n"
        f"/dev/sdb1 {tmp_path}/run/a\\040b xfs rw 0 0\n"
    )
    wanted = {"run/x": "tmpfs", "runner": "ext4", "run": "tmpfs", "run/a b/c": "xfs"}
    found = {path: findings.filesystem(str(tmp_path / path), str(mounts)) for path in wanted}
    assert found == wanted


def test_room_for_lanes(tmp_path: Path) -> None:
    (enough,) = findings.lane_memory(str(tmp_path), 4096)
    assert enough.good
    assert enough.text.endswith("more processes, 4 KiB each")
    (scarce,) = findings.lane_memory(str(tmp_path), 1 << 50)
    assert scarce.text.startswith(f"{tmp_path}: room for 0 more processes")
    assert scarce.text.endswith("; free some, or lower lane.records")


def test_an_address() -> None:
    assert findings.address(Address("127.0.0.1", 0)) == Finding(
        True, "127.0.0.1:0: free to listen on"
    )


def test_destinations_of_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shmetrics.toml"
    to = ("otlp://h", "otlp+grpc://h", "redis://:secret@h", "nosuch://h")
    path.write_text("\n".join(f"[[traces.forward]]\nto = '{one}'" for one in to))
    monkeypatch.setitem(sys.modules, "grpc", None)  # as if it was not installed
    monkeypatch.delitem(sys.modules, "shmetrics.destinations.traces.otlp_grpc", raising=False)
    found = list(findings.destinations(config.load(str(path))))
    assert found[:1] + found[2:3] == [
        Finding(True, "otlp://h: spans are forwarded to it"),
        Finding(True, "redis://h: spans are forwarded to it"),
    ]
    assert wrong(found) == [
        "otlp+grpc://h: grpc is not installed; pip install 'shmetrics[otlp-grpc]'",
        "nosuch://h: OSProfiler has no driver 'nosuch'",
    ]


def test_destinations_of_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shmetrics.toml"
    secret = tmp_path / "password"
    with_secret = f"otlp+http://h'\nusername = 'u'\npassword_file = '{secret}"
    with_ca = f"otlp+https://h'\nca_file = '{tmp_path}/none"
    to = ("graphite://h", "remote-write+http://h", with_secret, with_ca)
    path.write_text("\n".join(f"[[metrics.forward]]\nto = '{one}'" for one in to))
    monkeypatch.setitem(sys.modules, "cramjam", None)  # as if it was not installed
    for name in [name for name in sys.modules if "metrics.remote_write" in name]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(metrics, name.rpartition(".")[2])
    found = list(findings.destinations(config.load(str(path))))
    assert found[0] == Finding(True, "graphite://h: metrics are sent to it every 60 s")
    assert wrong(found) == [
        "remote-write+http://h: cramjam is not installed; pip install 'shmetrics[remote-write]'",
        f"otlp+http://h: password_file: {secret}: No such file or directory",
        f"otlp+https://h: ca_file: {tmp_path}/none: No such file or directory",
    ]
    secret.write_text("s3cret\n")
    assert "s3cret" not in str(list(findings.destinations(config.load(str(path)))))


def test_lanes_that_wait_for_a_collector(tmp_path: Path) -> None:
    (tmp_path / "lanes").mkdir()
    for name in ("1.lane", "2.lane", "1.json"):
        (tmp_path / "lanes" / name).write_text("")
    (text,) = wrong(findings.collector(str(tmp_path)))
    assert text.endswith("; 2 lanes wait for it, and their events with them")


class FakeSite:
    """A collector of another version, with a lane in trouble."""

    url = "http://node"
    version = "0.0.9"

    def get(self, path: str) -> bytes:
        return {"/-/healthy": b"draining\n", "/-/ready": b"ready\n"}[path]

    def get_json(self, path: str) -> Any:
        return [
            {
                "halt": {
                    "state": "stopped", "cause": "a signal has stopped it", "mend": "kill -CONT 42"
                },
                "lane": 7, "process": "nova\x1b", "pid": 42, "state": "quarantined",
                "sent_twice": 5,
                "overflowed": 2, "dropped_by_cause": {"lane_full": 3, "new cause": 1},
                "refused": {"conflict": 2, "bad_unit": 1},
                "refusals": [
                    {"metric": "a", "reason": "bad_unit", "cause": "odd\n", "mend": "mend it"}
                ],
                "overflows": [
                    {"metric": "b", "reason": "quota", "cause": "full", "mend": "see x"}
                ],
            }
        ]  # fmt: skip


def test_a_collector_and_a_lane_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_client, "find", lambda path, http_config: FakeSite())
    found = list(findings.collector("/run/x"))
    assert found[0] == Finding(True, "http://node: draining, ready, 1 lanes")
    who = "lane 7 (nova?, pid 42)"
    more_room = (
        "use fewer label values, or raise what bounds its lane: registration.max_lane_bytes, "
        "store.max_series_per_lane"
    )
    version, *rest = wrong(found)
    assert version.startswith("http://node: runs version 0.0.9, and this is ")
    assert rest == [
        f"{who}: quarantined: it broke the contract; restart that process",
        f"{who}: 2 events counted without their labels; {more_room}",
        f"{who}: 5 datagrams of oslo.metrics left out: its lane has these calls as well; set "
        "[oslo_messaging_metrics] metrics_enabled = false in its configuration, and the service "
        "saves their cost",
        f"{who}: 3 events dropped (lane_full); {more_room}",
        f"{who}: 1 events dropped (new cause); see the documentation",
        f"{who}: it is stopped, and answers nobody: a signal has stopped it; kill -CONT 42",
        f"{who}: a: odd?; mend it",
        f"{who}: b: full; see x",
        f"{who}: 2 metrics refused (conflict); the collector's log says which",
    ]


def test_a_process_that_overflows_is_wrong(tmp_path: Path) -> None:
    """Check one whose label sets have no room in the store, and which loses no event by it."""
    node = Loopback(tmp_path / "node", Settings(4 * MIB, Limits(series_per_lane=3)))
    _ring.process_detach()
    node.attach()
    jobs = shmetrics.Counter("check_jobs_total", "Jobs", ["queue"])
    for n in range(5):
        jobs.labels(f"q{n}").inc()
    node.collector.drain()
    (lane,) = node.collector.lanes()
    _ring.process_detach()
    node.collector.tick()
    node.release()
    (text,) = wrong(findings._lane(lane))
    assert ": check_jobs: the process has 3 series; further ones are counted as __over" in text
    assert state_of(lane) == "overflows"


class Node:
    """A collector of this version, of which a few answers are known."""

    url, version = "http://node", __version__

    def __init__(self, **answers: Any) -> None:
        self._answers = {"lanes": [], "left_out": [], "destinations": []} | answers

    def get(self, path: str) -> bytes:
        return b"well"

    def get_json(self, path: str) -> Any:
        return self._answers[path.removeprefix("/api/v1/")]


def wrong_with(node: Node, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(collector_client, "find", lambda path, http_config: node)
    return wrong(findings.collector("/run/x"))


def test_a_family_that_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    families = [{"family": "a.b\x1b", "escaping": "underscores", "reason": "it is a_b"}]
    assert wrong_with(Node(left_out=families), monkeypatch) == [
        "a.b?: left out of scrapes with escaping=underscores: it is a_b; rename it, or let "
        "Prometheus ask for escaping=allow-utf-8"
    ]


def test_a_destination_that_does_not_take_what_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = Counts(90, 10, 50, Counter(queue=20, refused=10), 4096, 3)
    failing = Report("graphite://g:2003", "series", counts, 1 << 20, "Connection refused", 83.2, 5)
    well = failing._replace(to="statsd://s:8125", problem="", failing_seconds=None)
    node = Node(destinations=[failing.plain(), well.plain()])
    assert wrong_with(node, monkeypatch) == [
        "graphite://g:2003: no series have arrived for 83 s: Connection refused; 50 wait until "
        "it answers, 35 are lost so far"
    ]


def test_every_cause_of_loss_has_a_mend() -> None:
    """Check the causes of the core, read from their definitions."""
    layout = (Path(__file__).parents[2] / "csrc" / "lane" / "layout.h").read_text()
    causes = {name.lower() for name in re.findall(r"SHM_DROP_(\w+) = \d", layout)}
    assert causes
    assert causes <= set(findings._MENDS)

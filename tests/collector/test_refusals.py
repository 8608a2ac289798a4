# SPDX-License-Identifier: Apache-2.0
"""Refusals of a node: each is one line, and counted, and harms nobody else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import shmetrics
from shmetrics import definitions, layout
from shmetrics.rate_limited_log import MAX_KINDS, MAX_TEXT
from shmetrics.registration.decision import Granted
from shmetrics.registration.peer import Peer
from shmetrics.registration.protocol import Hello
from shmetrics.store.histograms import exceptions_of
from tests.nodes import hostile
from tests.nodes.hostile import LaneFile
from tests.nodes.loopback import THIS_PROCESS, Loopback
from tests.nodes.node import PRELUDE, ROOT, Node

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def python(code: str, *args: str, command: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Run code; return its exit status, and the lines that it leaves on stderr."""
    done = subprocess.run(
        [*command, sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code), *args],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr.splitlines()


COLLECT = """
from shmetrics.cli import main
import shmetrics.cli.collector, shmetrics.collector.daemon
{before}
sys.exit(main(["collector", "--runtime-dir", sys.argv[1], "--listen", "127.0.0.1:0"]))
"""


# ---- a second collector, or none ------------------------------------------------------------


def test_a_second_collector_names_the_first(node: Node) -> None:
    node.start()
    status, [line] = python(COLLECT.format(before=""), str(node.runtime_dir))
    assert status == 1
    assert f"{node.runtime_dir}: in use by another collector (pid {node.pid})" in line
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    assert node.samples().value("jobs_total") == 1


@as_root
def test_a_directory_that_cannot_be_written_to(runtime_dir: Path) -> None:
    runtime_dir.chmod(0o755)
    status, [line] = python(COLLECT.format(before=f"os.setuid({NOBODY})"), str(runtime_dir))
    assert status == 1
    assert f"{runtime_dir}/lanes: Permission denied; choose another --runtime-dir" in line


@as_root
def test_a_directory_of_somebody_else(runtime_dir: Path) -> None:
    """Check a collector that runs as root, and could work there."""
    os.chown(runtime_dir, NOBODY, NOBODY)
    status, [line] = python(COLLECT.format(before=""), str(runtime_dir))
    assert status == 1
    assert f"{runtime_dir}: belongs to uid {NOBODY}, not to root; choose another" in line


def test_a_directory_that_is_none(runtime_dir: Path) -> None:
    (runtime_dir / "file").write_text("")
    for name in ("file", "file/below"):
        status, [line] = python(COLLECT.format(before=""), str(runtime_dir / name))
        assert status == 1
        assert f"{runtime_dir / name}: " in line


def test_a_directory_with_too_long_a_name(runtime_dir: Path) -> None:
    status, [line] = python(COLLECT.format(before=""), str(runtime_dir / ("x" * 120)))
    assert status == 1
    assert "register.sock: no socket can be made there" in line


# ---- who may come in ------------------------------------------------------------------------


@as_root
def test_a_foreign_user_is_refused_and_told_why(node: Node) -> None:
    node.runtime_dir.chmod(0o755)
    node.start('[registration]\nallow_uids = ["root"]')
    logged = node.run(
        f"""
        import logging
        logging.basicConfig(stream=sys.stdout)
        shmetrics.status()  # everything is imported
        os.setuid({NOBODY})
        jobs = shmetrics.Counter("jobs", "Jobs")
        for n in range(10_000):
            jobs.inc()
        problem = shmetrics.status()["problem"]
        assert problem == (
            "refused (uid): uid {NOBODY} may not register; see registration.allow_uids"
        ), problem
        """
    )
    assert logged == (
        "WARNING:shmetrics:shmetrics: the collector refuses this process, whose totals are not "
        f"shown: uid {NOBODY} may not register; see registration.allow_uids\n"
    )
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    found = node.samples()
    assert found.value("shmetrics_registrations_total", result="granted") == 1
    assert found.value("shmetrics_registrations_total", result="uid") >= 1
    assert found.value("jobs_total") == 1
    assert f"uid {NOBODY}) refused: uid {NOBODY} may not register" in node.log


@as_root
def test_a_user_that_may_register_does(node: Node) -> None:
    """Check that it gets a lane whose file it could not open itself."""
    node.runtime_dir.chmod(0o755)
    node.start(f"[registration]\nallow_uids = [{NOBODY}]")
    node.run(
        f"""
        jobs = shmetrics.Counter("jobs", "Jobs")
        os.setuid({NOBODY})
        jobs.inc()
        """
    )
    node.run('shmetrics.Counter("jobs", "Jobs").inc()')
    found = node.samples()
    assert found.value("jobs_total") == 1
    assert found.value("shmetrics_registrations_total", result="granted") == 1


@as_root
def test_a_socket_that_one_may_not_even_write_to(node: Node) -> None:
    node.runtime_dir.chmod(0o755)
    node.start('[registration]\nallow_uids = "any"\nsocket_mode = 0o600')
    node.run(
        f"""
        shmetrics.status()  # everything is imported
        os.setuid({NOBODY})
        shmetrics.Counter("jobs", "Jobs").inc()
        assert "Permission denied" in shmetrics.status()["problem"], shmetrics.status()
        """
    )
    assert node.samples().of("shmetrics_registrations_total") == {}


def test_a_refusal_is_a_problem_of_the_process_until_it_is_over(node: Node) -> None:
    node.start("[registration]\nmax_lanes = 1")
    first = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")')
    first.until("recorded")
    second = node.emitter(
        """
        from shmetrics.emitter.process import registration
        from tests.servers.patience import until

        def problems():
            registration.attend()
            return shmetrics.status()["problems"]

        shmetrics.Counter("jobs", "Jobs").inc()
        until(problems, shmetrics.status, 20)
        (problem,) = problems()
        assert problem["metric"] == "" and "there are 1 lanes already" in problem["cause"], problem
        assert problem["mend"] == "see registration.max_lanes", problem
        pause("refused")
        until(lambda: not problems(), shmetrics.status, 20)
        assert shmetrics.status()["connected"]
        """
    )
    second.until("refused")
    first.go()
    first.end()
    second.go()
    second.end()


def test_there_are_only_so_many_lanes(node: Node) -> None:
    """Check that the next process has a lane once one is free."""
    node.start("[registration]\nmax_lanes = 1")
    first = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")')
    first.until("recorded")
    node.run(
        """
        shmetrics.Counter("jobs", "Jobs").inc(100)
        problem = shmetrics.status()["problem"]
        assert problem == (
            "refused (quota): there are 1 lanes already; see registration.max_lanes"
        ), problem
        """
    )
    first.go()
    first.end()
    node.until_no_lane()
    node.run('shmetrics.Counter("jobs", "Jobs").inc(10)')
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total") == 11
    assert found.value("shmetrics_registrations_total", result="granted") == 2
    assert found.value("shmetrics_registrations_total", result="quota") >= 1
    assert found.value("shmetrics_quota_limit", quota="lanes") == 1
    assert found.value("shmetrics_quota_used", quota="lanes") == 0


@as_root
def test_one_user_cannot_have_all_lanes(node: Node) -> None:
    node.runtime_dir.chmod(0o755)
    node.start(f"[registration]\nallow_uids = [0, {NOBODY}]\nmax_lanes_per_uid = 2")
    service = 'shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")'
    others = [node.emitter(f"shmetrics.status()\nos.setuid({NOBODY})\n{service}") for _ in "ab"]
    for other in others:
        other.until("recorded")
    node.run(
        f"""
        shmetrics.status()
        os.setuid({NOBODY})
        shmetrics.Counter("jobs", "Jobs").inc(100)
        problem = shmetrics.status()["problem"]
        assert problem == (
            "refused (quota): uid {NOBODY} has 2 lanes already; see registration.max_lanes_per_uid"
        ), problem
        """
    )
    node.run('shmetrics.Counter("jobs", "Jobs").inc(10)')
    found = node.samples()
    assert found.value("jobs_total") == 12
    assert found.value("shmetrics_quota_used", quota="lanes_per_uid") == 2
    assert found.value("shmetrics_quota_limit", quota="lanes_per_uid") == 2
    assert found.value("shmetrics_quota_exceeded_total", quota="lanes_per_uid") >= 1
    for other in others:
        other.go()
        other.end()


def test_lanes_take_only_so_much_memory(node: Node) -> None:
    node.start("[registration]\nmax_lane_bytes = 1000000")
    first = node.emitter('shmetrics.Counter("jobs", "Jobs").inc()\npause("recorded")')
    first.until("recorded")
    node.run(
        """
        shmetrics.Counter("jobs", "Jobs").inc(100)
        problem = shmetrics.status()["problem"]
        assert problem == (
            "refused (quota): lanes have 516096 of 1000000 bytes already, and this one needs "
            "516096; see registration.max_lane_bytes"
        ), problem
        """
    )
    found = node.samples()
    assert found.value("shmetrics_quota_used", quota="lane_bytes") == 516_096
    assert found.value("shmetrics_quota_exceeded_total", quota="lane_bytes") >= 1
    first.go()
    first.end()
    node.until_no_lane()
    assert node.samples().value("shmetrics_quota_used", quota="lane_bytes") == 0
    node.run('shmetrics.Counter("jobs", "Jobs").inc(10)')
    assert node.samples().value("jobs_total") == 11


def test_lanes_leave_half_of_the_file_system(node: Node) -> None:
    """Check the room of lanes where the configuration has no limit."""
    node.start()
    room = os.statvfs(node.runtime_dir)
    limit = node.samples().value("shmetrics_quota_limit", quota="lane_bytes")
    assert limit == room.f_blocks * room.f_frsize // 2


@as_root
def test_a_flood_of_registrations_is_its_users_alone(node: Node) -> None:
    """Check that processes of another user are served while those of one come too often."""
    node.runtime_dir.chmod(0o755)
    node.start(f"[registration]\nallow_uids = [0, {NOBODY}]\nmax_per_second = 0.1")
    nobody = f"shmetrics.status()\nos.setuid({NOBODY})\n"
    node.run(nobody + 'shmetrics.Counter("jobs", "Jobs").inc()')
    node.run(
        nobody
        + """
shmetrics.Counter("jobs", "Jobs").inc(100)
problem = shmetrics.status()["problem"]
assert "registers more than 0.1 processes a second; see registration.max_per_second" in problem
"""
    )
    node.run('shmetrics.Counter("jobs", "Jobs").inc(10)')
    found = node.samples()
    assert found.value("jobs_total") == 11
    quota = "registrations_per_second"
    assert found.value("shmetrics_quota_limit", quota=quota) == 0.1
    assert 0.05 < found.value("shmetrics_quota_used", quota=quota) <= 0.1
    assert found.value("shmetrics_quota_exceeded_total", quota=quota) >= 1


@as_root
def test_a_member_of_a_group_may_register(node: Node) -> None:
    """Check a member by its primary group, and by another one of its groups."""
    node.runtime_dir.chmod(0o755)
    node.start("[registration]\nallow_gids = [4242]")
    for n, groups in enumerate(("setgid(4242)", "setgroups([7, 4242])", "setgid(4243)")):
        node.run(
            f"""
            shmetrics.status()
            os.setgroups([])
            os.{groups}
            os.setuid({NOBODY})
            shmetrics.Counter("jobs", "Jobs").inc(10 ** {n})
            """
        )
    assert node.samples().value("jobs_total") == 11
    assert f"uid {NOBODY} may not register" in node.log


# ---- no room --------------------------------------------------------------------------------

IN_SMALL_TMPFS = """
from pathlib import Path
from shmetrics import layout
from shmetrics.registration.decision import Refused
from tests.nodes.loopback import THIS_PROCESS, Hello, Loopback, Settings
from shmetrics.errors import ShmetricsError
from shmetrics.lanes.grants import LaneSettings
from shmetrics.lanes.lane_files import Sizes

def fill(leave):
    (Path(sys.argv[1]) / "ballast").unlink(missing_ok=True)
    room = os.statvfs(sys.argv[1])
    with open(sys.argv[1] + "/ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_bsize - leave)
"""


def in_small_tmpfs(folder: Path, code: str, *args: str) -> tuple[int, list[str]]:
    """Run code with a file system of 2 MiB in argv[1] that nobody else sees; args follow."""
    mount = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'
    inside = ("unshare", "-m", "sh", "-c", mount, str(folder))
    if subprocess.run([*inside, "true"], capture_output=True).returncode != 0:
        pytest.skip("no mount namespaces here")
    return python(IN_SMALL_TMPFS + textwrap.dedent(code), str(folder), *args, command=inside)


def test_a_full_tmpfs_is_a_refusal(tmp_path: Path) -> None:
    """Check that only the lane that does not fit is refused: the others are allocated as a
    whole."""
    status, lines = in_small_tmpfs(
        tmp_path,
        """
        loopback = Loopback(Path(sys.argv[1]) / "run", Settings(1 << 20))
        hello = Hello(layout.LAYOUT_VERSION, 0, "test")
        granted = []
        while not isinstance(answer := loopback.collector.grant(THIS_PROCESS, hello), Refused):
            granted.append(answer)
        assert len(granted) == 3, granted
        assert answer.result.name == "NO_SPACE"
        lanes = loopback.path / "lanes"
        assert answer.text == f"no room for a lane in {lanes}: No space left on device"
        assert len(list(lanes.iterdir())) == 9
        for one in granted:
            assert os.fstat(one.lane_fd).st_blocks * 512 >= os.fstat(one.lane_fd).st_size
        os.close(granted.pop().lane_fd)
        loopback.collector.tick()
        granted.append(loopback.collector.grant(THIS_PROCESS, hello))
        assert not isinstance(granted[-1], Refused)
        """,
    )
    assert status == 0, "\n".join(lines)
    assert lines == []


@pytest.mark.parametrize("leave_bytes", [0, 4096, 20_000])
def test_a_full_tmpfs_lets_the_store_overflow(tmp_path: Path, leave_bytes: int) -> None:
    """Check that the overflow series has its place on the disk, and not only in the plan."""
    status, lines = in_small_tmpfs(
        tmp_path,
        """
        lanes = LaneSettings(Sizes(dictionary_bytes=1 << 17))  # nothing waits for a larger one
        loopback = Loopback(Path(sys.argv[1]) / "run", Settings(8 << 20, lanes=lanes))
        loopback.attach()
        counter = shmetrics.Counter("jobs", "Jobs", ["queue"])
        fill(leave=int(sys.argv[2]))
        for n in range(900):
            counter.labels(f"{n}" + "x" * 40).inc()
        found = loopback.samples()
        assert shmetrics.status()["dropped"] == {}, shmetrics.status()
        assert found.sum("jobs_total") == 900, found.sum("jobs_total")
        assert found.value("jobs_total", queue="__overflow__") > 0
        assert found.sum("shmetrics_series_overflow_total", family="jobs") > 0
        """,
        str(leave_bytes),
    )
    assert status == 0, "\n".join(lines)
    assert [line.partition("): ")[2] or line for line in lines] == [
        "jobs: the store is full; further ones are counted as __overflow__; "
        "see store.max_bytes and [[labels]]",
        "jobs: the store is full; further ones are counted as __overflow__; "  # as a service
        "see store.max_bytes and [[labels]]",
    ]


def test_a_full_tmpfs_keeps_a_collector_from_starting(tmp_path: Path) -> None:
    """Check that it ends with one line, and starts once there is room again."""
    status, lines = in_small_tmpfs(
        tmp_path,
        """
        path = Path(sys.argv[1]) / "run"
        for leave in (0, 4096 * 6):
            fill(leave)
            try:
                Loopback(path, Settings(1 << 20))
            except ShmetricsError as error:
                assert "No space left on device" in str(error), error
            else:
                raise AssertionError("it started")
        os.unlink(sys.argv[1] + "/ballast")
        Loopback(path, Settings(1 << 20))
        """,
    )
    assert status == 0, "\n".join(lines)
    assert lines == []


def test_no_descriptors_are_a_refusal(tmp_path: Path) -> None:
    status, lines = in_small_tmpfs(
        tmp_path,
        """
        import resource
        loopback = Loopback(Path(sys.argv[1]) / "run", Settings(1 << 20))
        hello = Hello(layout.LAYOUT_VERSION, 0, "test")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        before = os.listdir("/proc/self/fd")
        free = 0
        while True:
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + free, hard))
            answer = loopback.collector.grant(THIS_PROCESS, hello)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if not isinstance(answer, Refused):
                break
            assert "no lane can be made in" in answer.text, answer
            assert "Too many open files" in answer.text, answer
            assert os.listdir("/proc/self/fd") == before
            assert list((loopback.path / "lanes").iterdir()) == []
            free += 1
        assert free >= 3
        """,
    )
    assert status == 0, "\n".join(lines)
    assert lines == []


# ---- definitions ----------------------------------------------------------------------------

REFUSED = {
    "conflict": (
        'shmetrics.Gauge("jobs", "Jobs", ["queue"]).labels("fast").set(7)',
        'shmetrics.Gauge("rpc_processing_seconds", "Clash", multiprocess_mode="max").set(7)',
    ),
    "bad_name": ('shmetrics.Counter("", "Jobs").inc()',),
    "reserved_name": (
        'shmetrics.Counter("shmetrics_lanes", "Jobs").inc()',
        'shmetrics.Counter("shmetrics.lanes", "Jobs").inc()',
    ),
    "bad_label_name": (
        'shmetrics.Counter("more", "Jobs", ["__a"]).labels("fast").inc()',
        'shmetrics.Histogram("more", "Jobs", ["le"]).labels("fast").observe(1)',
        'shmetrics.Gauge("more", "Jobs", ["pid"]).labels("fast").set(1)',
    ),
    "bad_mode": ('shmetrics.Gauge("more", "Jobs", multiprocess_mode="median").set(1)',),
    "bad_buckets": ('shmetrics.Histogram("more", "Jobs", buckets=(2, 1)).observe(1)',),
}

GOOD = """
shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast").inc(2)
shmetrics.Histogram("size", "Size", buckets=(1, 2)).observe(1)
shmetrics.Gauge("busy", "Busy", multiprocess_mode="sum").set(1)
call = shmetrics.Calls("rpc", "Calls", buckets=(1, 2)).labels()
with call():
    pass
"""


def good_is_there(node: Node, times: int) -> None:
    found = node.samples()
    assert found.of("jobs_total") == {(("queue", "fast"),): 2 * times}
    assert found.value("size_bucket", le="1.0") == times
    assert found.value("busy") == times
    assert found.value("rpc_invocation_end_total") == times
    assert found.names("more") == set()


def test_definitions_that_are_refused(node: Node) -> None:
    """Check that each is counted and logged, and that the process's other families are taken."""
    node.start()
    first = node.emitter(f'{GOOD}\npause("recorded")')
    first.until("recorded")
    times = 1
    for reason, bad in REFUSED.items():
        for n, code in enumerate(bad, 1):
            node.run(f"{code}\n{GOOD}")
            times += 1
            found = node.samples()
            assert found.value("shmetrics_refused_families_total", reason=reason) == n, code
    good_is_there(node, times)
    lines = [line for line in node.log.splitlines() if "refused: " in line]
    assert len(lines) == sum(map(len, REFUSED.values()))
    assert node.samples().of("shmetrics_quarantined_total") == {}
    first.go()
    first.end()


def test_records_of_a_refused_family_are_counted(loopback: Loopback) -> None:
    refused = shmetrics.Counter("", "Jobs")
    for _ in range(3):
        refused.inc()
    found = loopback.samples()
    assert found.value("shmetrics_refused_families_total", reason="bad_name") == 1
    assert found.value("shmetrics_unbound_total") == 3


def test_what_the_collector_counts_is_not_an_emitters_to_define_or_to_move(
    loopback: Loopback,
) -> None:
    """Check an emitter that knows all that is there: by its name, as of another type, in parts."""
    before = {
        key: value
        for key, value in loopback.samples().items()
        if key[0].startswith(("shmetrics_dropped", "shmetrics_scrapes", "shmetrics_rpc"))
    }
    own = [family.definition for family in loopback.collector.families]
    assert {"shmetrics_dropped", "shmetrics_scrapes"} <= {one.name for one in own}
    granted = loopback.collector.grant(THIS_PROCESS, Hello(layout.LAYOUT_VERSION, 0, "hostile"))
    assert isinstance(granted, Granted)
    with contextlib.closing(LaneFile(granted.lane_fd)) as lane:
        busy = hostile.BUSY._replace(mode="all")
        for definition in own:
            series = lane.series(
                definition.type, lane.family(definition), *(("x",) * len(definition.label_names))
            )
            lane.record(hostile.ADD, series, 1000.0)
            lane.family(busy._replace(name=definition.name))
            lane.family(busy._replace(name=definition.name, label_names=definition.label_names))
            lane.family(hostile.RPC._replace(name=definition.name.rpartition("_")[0]))
            lane.family(definition._replace(name=f"{definition.name}_total"))
        lane.series(hostile.RPC.type, lane.family(hostile.RPC._replace(name="process")), "x")
        loopback.collector.tick()
        found = loopback.samples()
        assert {key: found[key] for key in before} == before
        n = 5 * len(own) + 1
        assert found.value("shmetrics_refused_families_total", reason="reserved_name") == n
        assert found.sum("shmetrics_families") == 1
        assert not found.names("process_invocation")
    loopback.collector.tick()


def test_what_a_store_has_under_the_collectors_names_goes(tmp_path: Path) -> None:
    """Check names that an older version took from emitters, or used in another way itself."""
    loopback = Loopback(tmp_path / "node")
    families = loopback.collector.families
    before = len(list(families))
    families.remove([one for one in families.of_emitters() if one.is_limited and not one.is_held])
    jobs = hostile.JOBS
    for definition in (
        jobs._replace(name="shmetrics_odd"),
        hostile.BUSY._replace(name="process_open_fds"),
        hostile.RPC._replace(name="python"),
        jobs._replace(name="shmetrics_scrapes"),
        jobs,
    ):
        wanted = [definition]
        if definition.type == layout.TYPE_CALLS:
            wanted.append(exceptions_of(definition))
        family = families._define(wanted, 44)
        family.row(("x",))
    assert len(list(families)) == before + 6
    del families, family
    loopback.restart()
    families = loopback.collector.families
    assert {one.definition.name for one in families if not one.is_held} == {"hostile_jobs"}
    found = loopback.samples()
    assert found.value("shmetrics_scrapes_total") == 0
    assert found.names("shmetrics_odd") | found.names("python_invocation") == set()
    assert found.value("hostile_jobs_total", queue="x") == 0
    del families
    loopback.release()


@pytest.mark.parametrize("odd", [".", "-", " ", "\N{SNOWMAN}", "_"], ids=ascii)
@pytest.mark.parametrize("owned", ["shmetrics", "process", "python"])
def test_what_is_shown_under_a_name_of_the_collectors_is_its_own(owned: str, odd: str) -> None:
    """Check names in which a format writes an underscore for a character that it does not have."""
    assert definitions.is_reserved(f"{owned}{odd}x")
    assert not definitions.is_reserved(f"x{odd}{owned}{odd}x")


def test_a_flood_of_long_refusals_is_a_few_short_lines(
    loopback: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    """Check many lanes with the longest names, labels and values; the log has another user's
    refusal among them."""
    shmetrics.Counter("jobs", "Jobs", ["queue"]).labels("fast").inc()
    loopback.collector.tick()
    caplog.clear()
    long = "x" * 2000
    jobs = hostile.SIZE._replace(name="jobs")
    with contextlib.ExitStack() as opened:
        for number in range(40):
            hello = Hello(layout.LAYOUT_VERSION, 64, "h" * 255)
            peer = Peer(1, 43 if number else 44, 43)
            granted = loopback.collector.grant(peer, hello)
            assert isinstance(granted, Granted)
            lane = opened.enter_context(contextlib.closing(LaneFile(granted.lane_fd)))
            for n in range(5):
                one = f"{number}_{n}_{long}"
                lane.family(jobs._replace(label_names=(one, long)))
                lane.family(jobs._replace(name=f"shmetrics {one}\n\x1b[2J"))
                lane.family(hostile.BUSY._replace(name=f"busy_{number}_{n}", mode=one))
            loopback.collector.tick()
            lane.memory[lane.slot()] = 77  # a record of no kind
            lane.put(hostile.HEAD_AT, 1)
            loopback.collector.tick()
        found = loopback.samples()
        assert found.sum("shmetrics_refused_families_total") == 40 * 5 * 3
        assert found.sum("shmetrics_quarantined_total") == 40
        of_one = [line for line in caplog.messages if "uid 44" in line or ": 0_0_" in line]
        assert of_one
        assert len(caplog.messages) <= 2 * (MAX_KINDS + 1)
        assert all(line.isprintable() for line in caplog.messages)
        assert max(map(len, caplog.messages)) < MAX_TEXT + 50
    loopback.collector.tick()

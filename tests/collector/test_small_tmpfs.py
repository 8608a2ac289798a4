# SPDX-License-Identifier: Apache-2.0
"""Promise: on a file system in memory that is full to the last byte, no emitter gets SIGBUS."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.collector.test_refusals import in_small_tmpfs

# Runs in a mount namespace, where argv[1] is a file system of 2 MiB; argv[2] is elsewhere.
PROGRAM = """
from pathlib import Path
from tests.nodes.node import Node

SERVICE = '''
import time
filler = shmetrics.Counter("filler", "Filler", ["queue"])
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
rpc = shmetrics.Calls("rpc", "Calls", ["method"])
size = shmetrics.Histogram("size", "Size")
busy = shmetrics.Gauge("busy", "Busy", ["queue"], multiprocess_mode="livesum")
emitted = 0

def until(true):
    global emitted
    deadline = time.monotonic() + 60
    while not true(shmetrics.status()):
        jobs.labels("fast").inc()
        emitted += 1
        assert time.monotonic() < deadline, shmetrics.status()
        time.sleep(0.01)

until(lambda status: status["connected"] or "refused (no_space)" in status["problem"])
size.observe(0)
registered = shmetrics.status()["connected"]
pause("registered" if registered else "refused")
for n in range(6000 if registered else 10):  # more than dictionary, cells and ring have room for
    jobs.labels("fast").inc()
    emitted += 1
    size.observe(n)
    filler.labels(str(n)).inc()
    busy.labels(str(n)).set(n)
    rpc.labels(str(n % 500)).start()
pause("full")
until(lambda status: status["connected"])
print(emitted)
'''

def fill():
    with open(sys.argv[1] + "/ballast", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError as error:
            assert error.errno == 28, error

node = Node(Path(sys.argv[1]) / "run", Path(sys.argv[2]))
node.start('''
    [lane]
    records = 64
    [store]
    max_bytes = 1048576
    [registration]
    max_lane_bytes = 1073741824  # it is the file system that is to refuse
''')

def run():
    registered, refused = [], []
    while len(refused) < 2:
        emitter = node.emitter(SERVICE)
        said = emitter.said()
        assert said in ("registered", "refused")
        (registered if said == "registered" else refused).append(emitter)
    assert len(registered) >= 3
    found = node.samples()
    assert found.value("shmetrics_registrations_total", result="no_space") >= 2
    fill()
    assert os.statvfs(sys.argv[1]).f_bfree == 0
    node.freeze()
    for emitter in registered + refused:
        emitter.go()
    for emitter in registered + refused:
        emitter.until("full")
    node.thaw()
    assert len(node.lanes()) == len(registered)
    emitted = 0
    for emitter in registered + refused:  # when the first ones leave there is room for the others
        emitter.go()
        emitted += int(emitter.end())
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", queue="fast") == emitted
    assert found.value("size_count") == sum(
        1 + (6000 if emitter in registered else 10) for emitter in registered + refused
    )
    assert found.sum("shmetrics_quarantined_total") == 0

try:
    run()
finally:
    node.close()
"""


def test_no_emitter_dies_of_a_full_tmpfs(tmp_path: Path) -> None:
    """Make lanes until there is room for no further one, and then not a byte. Those with a lane
    fill it wholly; the others go on without one, and get it when a process leaves."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        status, lines = in_small_tmpfs(mounted, PROGRAM, folder)
    assert status == 0, "\n".join(lines)
    assert lines == []


KILLED_AND_FULL = """
import json
from pathlib import Path
from tests.nodes.node import Node
from tests.servers.processes import until

def fill():
    with open(sys.argv[1] + "/ballast", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError as error:
            assert error.errno == 28, error

run = Path(sys.argv[1]) / "run"
node = Node(run, Path(sys.argv[2]))
node.start("[store]\\nmax_bytes = 1048576")
service = node.emitter('''
jobs = shmetrics.Counter("jobs", "Jobs")
jobs.inc(5)
pause("recorded")
jobs.inc(7)
pause("again")
''')
service.until("recorded")
assert node.samples().value("jobs_total") == 5
node.kill()
left = sys.argv[3]
if left == "lock":
    (run / "lock").write_text("")
elif left == "half made":
    (run / "store.new").write_bytes(bytes(4096))
    (run / "lanes" / "7.new").write_bytes(bytes(4096))
elif left == "a directory":
    (run / "collector.json").unlink()
    (run / "collector.json").mkdir()
fill()
node.start("[store]\\nmax_bytes = 1048576")
service.go()
service.until("again")
assert node.samples().value("jobs_total") == 12
said = [line for line in node.log.splitlines() if "commands do not find" in line]
assert len(said) == (left != "half made"), node.log  # what is removed makes room
(Path(sys.argv[1]) / "ballast").unlink()
if left == "a directory":
    (run / "collector.json").rmdir()

def is_there():
    try:
        return json.loads((run / "collector.json").read_text())["url"] == node.url
    except (OSError, ValueError):
        return False

until(is_there, lambda: node.log, 30)
service.go()
service.end()
node.until_no_lane()
node.close()
"""


@pytest.mark.parametrize("left", ["nothing", "lock", "half made", "a directory"])
def test_a_full_file_system_after_a_kill_keeps_no_collector_from_going_on(
    tmp_path: Path, left: str
) -> None:
    """Check that it goes on with its totals, and that commands find it once there is room again."""
    with tempfile.TemporaryDirectory(prefix="shm-full-") as elsewhere:
        mounted = tmp_path / "small"
        mounted.mkdir()
        status, lines = in_small_tmpfs(mounted, KILLED_AND_FULL, elsewhere, left)
    assert status == 0, "\n".join(lines)
    assert lines == []

# SPDX-License-Identifier: Apache-2.0
"""Promise: on a file system in memory that is full to the last byte, no emitter gets SIGBUS."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.collector.test_refusals import in_small_tmpfs

# Runs in a mount namespace, where argv[1] is a file system of 2 MiB.
NODE = """
import tempfile
from collections import Counter
from pathlib import Path
from tests.collector.node import PATIENCE_SECONDS, Node
from tests.servers.processes import until

SERVICE = '''
import json, time
jobs = shmetrics.Counter("jobs", "Jobs", ["queue"])
rpc = shmetrics.Calls("rpc", "Calls", ["method"])
size = shmetrics.Histogram("size", "Size")
busy = shmetrics.Gauge("busy", "Busy", ["queue"], multiprocess_mode="livesum")
jobs.labels("fast").inc()
emitted = 1
pause("recorded")
for n in range(6000):  # more than dictionary, cells and ring have room for
    jobs.labels(str(n)).inc()
    busy.labels(str(n)).set(n)
    size.observe(n)
    rpc.labels(str(n % 500)).start()
emitted += 6000
pause("full")
deadline = time.monotonic() + 60
while not shmetrics.status()["connected"]:
    jobs.labels("fast").inc()
    emitted += 1
    assert time.monotonic() < deadline, shmetrics.status()
    time.sleep(0.01)
print(json.dumps([emitted, shmetrics.status()["dropped"]]))
'''

def fill():
    with open(sys.argv[1] + "/ballast", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError as error:
            assert error.errno == 28, error

def small_node(folder):
    node = Node(Path(sys.argv[1]) / "run", Path(folder))
    node.start('''
        [lane]
        records = 64
        dictionary_bytes = 16384
        spill_bytes = 16384
        [store]
        max_bytes = 1048576
    ''')
    return node
"""


def test_no_emitter_dies_of_a_full_tmpfs(tmp_path: Path) -> None:
    """Lanes until there is room for no further one, and then not a byte is free. Those that have
    one fill it wholly; those that were refused go on without, and get one when somebody leaves."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        status, lines = in_small_tmpfs(
            mounted,
            NODE
            + """
        node = small_node(sys.argv[2])
        registered, refused = [], []
        while len(refused) < 2:
            emitter = node.emitter(SERVICE)
            emitter.until("recorded")
            has_lane = emitter.pid in {lane["pid"] for lane in node.lanes()}
            (registered if has_lane else refused).append(emitter)
            assert len(registered) < 100
        assert len(registered) > 3, len(registered)
        found = node.samples()
        assert found.value("shmetrics_registrations_total", result="no_space") >= 2, found
        fill()
        assert os.statvfs(sys.argv[1]).f_bfree == 0
        node.freeze()
        for emitter in registered + refused:
            emitter.go()
        for emitter in registered + refused:
            emitter.until("full")
        node.thaw()
        assert len(node.lanes()) == len(registered)
        # Room comes back: one leaves, and then another.
        said = []
        for emitter in registered + refused:
            emitter.go()
            said.append(emitter.end())
        node.until_no_lane()
        emitted, dropped = 0, Counter()
        for line in said:
            n, causes = json.loads(line)
            emitted += n
            dropped.update(causes)
        found = node.samples()
        assert found.sum("jobs_total") <= emitted
        if not dropped.keys() - {"untracked_call"}:
            assert found.sum("jobs_total") == emitted
        assert found.of("shmetrics_quarantined_total") == {}
        node.close()
        """,
            folder,
        )
    assert status == 0, "\n".join(lines)
    assert lines == []

# SPDX-License-Identifier: Apache-2.0
"""The account of every test: what it opened is closed, what it started is gone.

Counted after each test, against what there was before it: descriptors of this process, its child
processes (and, since this process takes in orphans, theirs), unix sockets and lanes under the
test's folders. What ends by itself a moment later gets that moment.
"""

import ctypes
import gc
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import nursery

__all__ = ["account", "no_leftovers", "nobody_collects", "runtime_dir"]

_PATIENCE_SECONDS = 20
_FAILED = pytest.StashKey[bool]()
_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="session", autouse=True)
def nobody_collects() -> Iterator[None]:
    """Keep a test from a collector of this machine, and check that it leaves no file with it.

    A test with a collector of its own names that one's directory itself.
    """
    # From now on a grandchild whose parent died is our child, and cannot hide from the account.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = tempfile.mkdtemp(prefix="shmetrics-nobody-")
    before = os.environ.get("SHMETRICS_RUNTIME_DIR")
    os.environ["SHMETRICS_RUNTIME_DIR"] = folder
    yield
    if before is None:
        del os.environ["SHMETRICS_RUNTIME_DIR"]
    else:
        os.environ["SHMETRICS_RUNTIME_DIR"] = before
    os.rmdir(folder)  # fails if anything was put there


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """Yield a runtime directory with a short path: that of a unix socket has room for 107 bytes.

    The test fails if it leaves a lane there: whoever kills a collector starts another one.
    """
    folder = Path(tempfile.mkdtemp(prefix="shm-"))
    yield folder
    lanes = sorted(str(path) for path in folder.glob("lanes/*"))
    shutil.rmtree(folder)
    assert not lanes


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep the modules out of all later collections of garbage, which are then about a test.

    What all tests use that start collectors is there before the first test.
    """
    if any(item.get_closest_marker("quick") is None for item in session.items):
        nursery.begin()
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    nursery.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(autouse=True)
def no_leftovers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail at teardown if the test left something open or running.

    The traceback of a test that failed holds on to its objects, and so to their descriptors: these
    are not counted then.
    """
    folder = str(tmp_path_factory.getbasetemp())
    before = account(folder)
    yield
    deadline = time.monotonic() + _PATIENCE_SECONDS
    if request.node.stash.get(_FAILED, False):
        before.update(_descriptors())
    while (left := account(folder) - before) and time.monotonic() < deadline:
        gc.collect()  # what is only referred to by a cycle is not left over
        time.sleep(0.02)
    for kind, _, pid in left:
        if kind == "process":
            os.kill(int(pid), signal.SIGKILL)  # the next test is not to pay for it
    assert not left, f"left over: {sorted(left)}"


def account(folder: str) -> set[tuple[str, str, str]]:
    """Return all that there is now: the kind, the description and the number of each."""
    return {*_descriptors(), *_children(), *_sockets(folder)}


def _descriptors() -> Iterator[tuple[str, str, str]]:
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the one that listed them
        yield "descriptor", target, number


def _children() -> Iterator[tuple[str, str, str]]:
    """Yield the children of this process, and those of the nursery."""
    parents = [os.getpid(), *nursery.pids()]
    for task in [
        f"/proc/{pid}/task/{n}" for pid in parents for n in os.listdir(f"/proc/{pid}/task")
    ]:
        try:
            pids = Path(task, "children").read_text().split()
        except FileNotFoundError:
            continue
        for pid in pids:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if state != "Z":  # dead; an orphan that we took in and that nobody waits for
                yield "process", command, pid


def _sockets(folder: str) -> Iterator[tuple[str, str, str]]:
    for line in Path("/proc/net/unix").read_text().splitlines():
        inode_and_path = line.split(None, 6)[6:]
        if inode_and_path:
            inode, _, path = inode_and_path[0].partition(" ")
            if path.startswith(folder):
                yield "socket", path, inode

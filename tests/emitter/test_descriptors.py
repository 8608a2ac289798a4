# SPDX-License-Identifier: Apache-2.0
"""A service's files and sockets are its own, whatever it does with numbers that are not its own.

Daemons close what they do not know, and open files of their own under the same numbers; workers are
forked, standard streams closed, programs replaced. The worst of it costs a late kick, never a byte.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shmetrics import _ring
from tests.nodes.node import Emitter, Node
from tests.servers.processes import until

FROM = 768  # csrc/emit/descriptor.h: where a connection waits for its answer

# A service that does what it is told, line by line of JSON, and looks after each whether all its
# files are as it left them. Its ends of the conversation are out of the way of what it does.
SERVICE = """
import contextlib, json, socket, tempfile
import shmetrics.emitter.process

shmetrics.emitter.process.FIRST_WAIT_NS = 50_000_000  # as services wait: for a frozen one, too

TALK, HEAR, LOOK = 1001, 1000, 1002
if os.environ.get("STARTED") != "1":
    os.dup2(0, HEAR, inheritable=True)
    os.dup2(1, TALK, inheritable=True)
    os.dup2(os.open("/dev/null", os.O_RDWR), LOOK, inheritable=True)
    os.environ["STARTED"] = "1"
hear = open(HEAR, closefd=False)
took = shmetrics.Histogram("took", "Time", buckets=(1,))
kinds = {}  # by number: what it is, and which
WORDS = b"PRECIOUS" * 4


def identity(fd):
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def file():
    fd, name = tempfile.mkstemp(dir=os.environ["FOLDER"])
    os.unlink(name)
    os.write(fd, WORDS)
    return fd


def opened(kind):
    # The numbers of what was opened; with each what else has to be true of it.
    if kind == "file":
        return [file()]
    if kind == "eventfd":
        return [os.eventfd(0, os.EFD_NONBLOCK)]
    if kind == "pipe":
        return list(os.pipe2(os.O_NONBLOCK))
    listener = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(listener.getsockname())
    other, _ = listener.accept()
    listener.close()
    one.setblocking(False)
    other.setblocking(False)
    return [one.detach(), other.detach()]


def keep(fd, kind):
    kinds[fd] = kind, identity(fd)


def harm():
    # What is not as the service left it.
    for fd, (kind, who) in kinds.items():
        try:
            if identity(fd) != who:
                return f"{fd} is another file"
        except OSError as error:
            return f"{fd}, a {kind}, is closed"
        if kind == "file" and os.pread(fd, 4096, 0) != WORDS:
            return f"{fd}: the file has {os.pread(fd, 4096, 0)}"
        if kind in ("tcp", "pipe", "eventfd"):
            with contextlib.suppress(OSError):  # nothing there; or this end cannot be read
                sent = os.read(fd, 4096)
                if sent:
                    return f"{fd}, a {kind}, was sent {sent}"
    return ""


def close(low, high):
    for fd in [fd for fd in kinds if low <= fd < high]:
        del kinds[fd]
    os.closerange(low, min(high, HEAR))


def open_(kind):
    for fd in opened(kind):
        if fd < HEAR:
            keep(fd, kind)


def put(kind, number):
    fds = opened(kind)
    os.dup2(fds[0], number)
    keep(number, kind)
    for fd in fds:
        keep(fd, kind)


def record(n):
    for _ in range(n):
        took.observe(0.5)


def child(run):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        run()
        found = harm()
        if found:
            os.write(TALK, f"in a child: {found}\\n".encode())
        os._exit(1 if found else 0)
    except BaseException as error:
        os.write(TALK, f"in a child: {error!r}\\n".encode())
        os._exit(1)


def fork(n):
    if child(lambda: record(n)):
        sys.exit(1)


def daemonise():
    # The parent stays, to tell how its child ended.
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os.setsid()


def replace(n):
    kinds.clear()
    os.dup2(LOOK, 2)  # an interpreter wants its standard streams
    os.dup2(LOOK, 1)
    os.dup2(LOOK, 0)
    os.execve(sys.executable, [sys.executable, "-c", os.environ["CODE"]], os.environ)


ACTS = dict(close=close, open=open_, put=put, record=record, fork=fork, daemonise=daemonise,
            exec=replace)
for line in hear:
    what, *arguments = json.loads(line)
    if what == "end":
        break
    if what == "connected?":
        record(1)
        os.write(TALK, b"yes\\n" if shmetrics.status()["connected"] else b"no\\n")
        continue
    if what == "exec":
        os.write(TALK, b"ok\\n")
    ACTS[what](*arguments)
    found = harm()
    os.write(TALK, (found or "ok").encode() + b"\\n")
found = harm()
os._exit(1 if found else 0)
"""

kinds = st.sampled_from(["file", "tcp", "eventfd", "pipe"])
numbers = st.integers(0, 12) | st.integers(FROM, FROM + 3)
service_acts = st.one_of(
    st.tuples(st.just("record"), st.sampled_from([1, 3000, 9000])),
    st.tuples(st.just("close"), st.sampled_from([0, 3, FROM]), st.sampled_from([3, 64, 1000])),
    st.tuples(st.just("open"), kinds),
    st.tuples(st.just("put"), kinds, numbers),
    st.tuples(st.just("fork"), st.sampled_from([0, 1, 3000])),
    st.tuples(st.just("daemonise")),
    st.tuples(st.just("exec"), st.just(0)),
)
node_acts = st.sampled_from([("freeze",), ("thaw",), ("restart",), ("kill",), ("start",)])
acts = st.lists(service_acts | service_acts | node_acts, min_size=4, max_size=20)


class Play:
    """A node, of which a service and whoever runs the collector do one thing after the other."""

    def __init__(self, node: Node, folder: Path) -> None:
        self._node = node
        self._is_frozen = False
        self._runs = True
        prelude = "import os, sys\nimport shmetrics\n"
        self.service: Emitter = node.emitter(
            SERVICE, FOLDER=str(folder), CODE=prelude + SERVICE, PYTHONWARNINGS="ignore"
        )

    def say(self, *words: object) -> str:
        self.service.tell(json.dumps(words))
        return self.service.said()

    def act(self, act: tuple[object, ...]) -> None:
        if act[0] in ("freeze", "thaw", "restart", "kill", "start"):
            self._of_the_node(str(act[0]))
        else:
            assert self.say(*act) == "ok"

    def _of_the_node(self, act: str) -> None:
        if act == "start":
            if not self._runs:
                self._node.start()
                self._runs = True
            return
        if not self._runs:
            return
        if act == "freeze" and not self._is_frozen:
            self._node.freeze()
            self._is_frozen = True
        elif act != "freeze" and self._is_frozen:
            self._node.thaw()
            self._is_frozen = False
        if act == "restart":
            self._node.kill()
            self._node.start()
        elif act == "kill":
            self._node.kill()
            self._runs = False

    def end(self) -> None:
        """After all of that the service can still be measured."""
        self.act(("thaw",))
        self.act(("start",))
        until(lambda: self.say("connected?") == "yes", lambda: "no lane", 30)
        assert self.say("record", 10) == "ok"
        self.service.tell(json.dumps(["end"]))
        self.service.end()


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=acts)
def test_no_byte_of_ours_gets_into_a_file_of_the_services(
    node: Node, tmp_path: Path, acts: list[tuple[object, ...]]
) -> None:
    if not node.has_collector:
        node.start()
    play = Play(node, tmp_path)
    for act in acts:
        play.act(act)
    play.end()


WAITING = """
import socket
from shmetrics.emitter.process import registration

shmetrics.Counter("jobs", "Jobs").inc()
assert "no answer yet" in shmetrics.status()["problem"], shmetrics.status()
[number] = [
    int(fd) for fd in os.listdir("/proc/self/fd")
    if os.path.exists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}")[:7] == "socket:"
]
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
theirs.send(b"precious")
os.dup2(ours.fileno(), number)
for _ in range(10):
    registration.attend()
assert ours.recv(100, socket.MSG_DONTWAIT) == b"precious"
assert os.fstat(number).st_ino == os.fstat(ours.fileno()).st_ino
ours.close()
theirs.close()
"""


def test_an_answer_that_is_waited_for_is_taken_from_no_other_socket(node: Node) -> None:
    node.start()
    node.freeze()
    node.run(WAITING)
    node.thaw()


def opened_for_good(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def test_a_number_that_another_file_has_by_now_is_not_closed(tmp_path: Path) -> None:
    ours = _ring.Descriptor(opened_for_good(tmp_path / "ours"))
    number = ours.fileno()
    assert ours.is_ours()
    theirs = opened_for_good(tmp_path / "theirs")
    os.dup2(theirs, number)
    os.close(theirs)
    assert not ours.is_ours()
    ours.close()
    assert os.fstat(number).st_ino == (tmp_path / "theirs").stat().st_ino
    os.close(number)


def test_a_number_that_is_closed_and_given_to_the_same_file_again_is_closed(tmp_path: Path) -> None:
    """Nobody can tell the difference, and there is none: it is our file."""
    ours = _ring.Descriptor(opened_for_good(tmp_path / "ours"))
    number = ours.fileno()
    del ours
    assert opened_for_good(tmp_path / "other") == number
    os.close(number)

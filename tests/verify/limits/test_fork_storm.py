# SPDX-License-Identifier: Apache-2.0
"""Storms of short-lived children: exact for all that ever had a lane, and nothing stays behind."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.nodes.node import Node
from tests.servers.processes import until

CHILDREN = 1000
EVENTS = 5

# fork(how) makes a child that records, says in one byte on the pipe whether it has a lane, and ends
# as `how` says. A child without one takes what it has recorded with it. The parent records too.
STORM = f"""
import atexit, json, signal
said, says = os.pipe()

def say(how):
    os.write(says, how if shmetrics.status()["connected"] else b"-")

last_words = []
# Before the emitter registers its own: it is called after that.
atexit.register(lambda: [say(how) for how in last_words])
jobs = shmetrics.Counter("jobs", "Jobs", ["who"])
size = shmetrics.Histogram("size", "Sizes", ["who"], buckets=(1, 2))
calls = shmetrics.Calls("rpc", "Calls", ["method"])

def record(who):
    for n in range({EVENTS}):
        jobs.labels(who).inc()
        size.labels(who).observe(n)
        with calls.labels(who)():
            pass

def fork(how):
    jobs.labels("parent").inc()
    pid = os.fork()
    if pid:
        return pid
    if how == "nested":
        child = fork("quit")
        record(how)
        os.waitpid(child, 0)
    else:
        record(how)
    if how == "exit":
        last_words.append(b"e")
        sys.exit()
    say(how[:1].encode())
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)

def storm(ways, at_once):
    left, running, heard = list(ways), set(), b""
    while left or running:
        while left and len(running) < at_once:
            running.add(fork(left.pop()))
        running.discard(os.waitpid(-1, 0)[0])
    os.set_blocking(said, False)
    try:
        while more := os.read(said, 65536):
            heard += more
    except BlockingIOError:
        pass
    return heard.decode()
"""

WAYS = {"q": "quit", "e": "exit", "k": "killed", "n": "nested"}


def descriptors(node: Node) -> int:
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def test_a_thousand_short_lived_children(node: Node) -> None:
    """By _exit, by exit, by SIGKILL, and with children of their own."""
    node.start()
    node.run("shmetrics.Counter('jobs', 'Jobs', ['who']).labels('first').inc()")
    node.until_no_lane()
    before = descriptors(node)
    heard = node.run(
        STORM
        + f"""
jobs.labels("parent").inc()
ours = shmetrics.status()["lane"]
heard = storm([*{[*WAYS.values()]}] * {CHILDREN // len(WAYS)}, 8)
assert shmetrics.status()["lane"] == ours
print(heard)
"""
    )
    forks = len(heard.strip())
    assert forks == CHILDREN + CHILDREN // len(WAYS)
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", who="parent") >= CHILDREN + 1
    for letter, who in WAYS.items():
        n = EVENTS * heard.count(letter)
        assert n > 0
        assert found.value("jobs_total", who=who) == n, who
        assert found.value("size_count", who=who) == n
        assert found.value("rpc_invocation_start_total", method=who) == n
        assert found.value("rpc_invocation_end_total", method=who) == n
    assert found.sum("shmetrics_dropped_total") == 0
    until(lambda: descriptors(node) <= before, lambda: f"{descriptors(node)} > {before}", 30)


def test_children_that_are_refused_cost_their_parent_nothing(node: Node) -> None:
    node.start("registration.max_lanes = 1")
    heard = node.run(
        STORM
        + """
jobs.labels("parent").inc()
assert shmetrics.status()["connected"]
print(storm(["quit"] * 100, 8))
"""
    )
    assert heard.strip() == "-" * 100
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", who="parent") == 101
    assert found.of("jobs_total").keys() == {(("who", "parent"),)}
    assert found.value("shmetrics_registrations_total", result="quota") >= 100


def test_a_storm_while_nobody_accepts(node: Node) -> None:
    """More children than the socket's backlog has room for; their connections die with them."""
    node.start()
    service = node.emitter(
        STORM
        + """
jobs.labels("parent").inc()
pause("connected")
shmetrics.emitter.process.FIRST_WAIT_NS = 50_000_000  # as a service's: nobody will answer
assert storm(["quit"] * 600, 60) == "-" * 600
pause("over")
jobs.labels("parent").inc()
"""
    )
    service.until("connected")
    node.freeze()
    service.go()
    service.until("over")
    node.thaw()
    service.go()
    service.end()
    node.until_no_lane()
    found = node.samples()
    assert found.value("jobs_total", who="parent") == 602
    assert found.of("jobs_total").keys() == {(("who", "parent"),)}


FORKS = r"""
#define _GNU_SOURCE
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int forks(int n)
{
    char *const nothing[] = {"true", NULL};
    for (int i = 0; i < n; i++) {
        pid_t pid = -1;
        int status = 0;
        if (i % 3 == 0 && (pid = fork()) == 0)
            _exit(0);
        if (i % 3 == 1 && (pid = vfork()) == 0) {
            execvp("true", nothing);
            _exit(1);
        }
        if (i % 3 == 2 && posix_spawnp(&pid, "true", NULL, NULL, nothing, environ) != 0)
            return -1;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            return -1;
    }
    return n;
}
"""


def test_forks_from_c_while_other_threads_record(node: Node, tmp_path: Path) -> None:
    """fork, vfork and posix_spawn, without the GIL, at any moment of a record or a registration."""
    source, library = tmp_path / "forks.c", tmp_path / "forks.so"
    source.write_text(FORKS)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    said = node.emitter(
        f"""
import ctypes, json, threading, time
forks = ctypes.CDLL({str(library)!r}).forks
sys.setswitchinterval(1e-5)
jobs = shmetrics.Counter("jobs", "Jobs", ["by"])
calls = shmetrics.Calls("rpc", "Calls", ["method"])
running, counts = True, [0, 0]

def work(by):
    while running:
        jobs.labels(str(by)).inc()
        with calls.labels(str(by))():
            counts[by] += 1

threads = [threading.Thread(target=work, args=(by,)) for by in range(2)]
for thread in threads:
    thread.start()
pause("recording")
assert forks(300) == 300
while not shmetrics.status()["connected"]:  # or nobody would ever hear of it
    time.sleep(0.01)
running = False
for thread in threads:
    thread.join()
print(json.dumps(counts))
"""
    )
    said.until("recording")
    said.go()
    node.start()  # so that some of the forks meet the registration
    counts = json.loads(said.end())
    node.until_no_lane()
    found = node.samples()
    for by in range(2):
        assert found.value("jobs_total", by=str(by)) == counts[by]
        assert found.value("rpc_invocation_end_total", method=str(by)) == counts[by]
    assert found.value("shmetrics_lanes_retired_total") == 1


def test_what_a_process_starts_does_not_hold_its_lane(node: Node) -> None:
    """A program that was started by posix_spawn or by vfork and exec, and outlives its starter."""
    node.start()
    starter = node.emitter(
        """
        import subprocess
        shmetrics.Counter("jobs", "Jobs").inc()
        assert shmetrics.status()["connected"]
        cat = "/bin/cat"
        os.posix_spawn(cat, [cat], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, 2)])
        started = subprocess.Popen([cat], stderr=subprocess.DEVNULL)
        print("started", flush=True)
        os._exit(0)
        """
    )
    starter.until("started")
    node.until_no_lane()
    starter.go()  # closes nothing: the cats end with their standard input
    starter.end()
    assert node.samples().value("jobs_total") == 1

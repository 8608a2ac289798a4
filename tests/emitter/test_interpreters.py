# SPDX-License-Identifier: Apache-2.0
"""Promise: where it cannot count right, it says so and counts nothing: never silently wrong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from shmetrics import _ring, stub
from tests.nodes.node import ROOT, Node

REFUSED = "shmetrics does not measure here: "

# Everything a service may do; what it may not do is fail. ending() takes what status() says.
SERVICE = """
import sys
sys.path.insert(0, {root!r})
import shmetrics, shmetrics.rpc
jobs = shmetrics.Counter("jobs", "Jobs")
jobs.inc()
labelled = shmetrics.Counter("labelled", "Jobs", ["queue"])
labelled.labels("fast").inc(2)
labelled.labels(queue="fast").inc(exemplar=dict(a="b"))
labelled.inc()
labelled.labels(1, 2, 3).inc()
with jobs.count_exceptions():
    pass
busy = shmetrics.Gauge("busy", "Busy", multiprocess_mode="sum")
busy.set(1), busy.inc(), busy.dec(2), busy.set_to_current_time()
with busy.track_inprogress(), busy.time():
    pass
size = shmetrics.Histogram("size", "Sizes")
size.observe(1)
with size.time():
    pass
assert size.time()(abs)(-3) == 3
calls = shmetrics.Calls("calls", "Calls", ["method"]).labels("build")
calls.end(calls.start(), "KeyError")
with calls():
    calls.end(None)
with shmetrics.Calls("bare", "Calls")():
    pass
with shmetrics.rpc.client_call(method="m")():
    pass
status = shmetrics.status()
assert not status["connected"] and status["disabled"] and status["recorded"] == 0, status
{ending}
""".format


def run(program: str, node: Node, *options: str) -> str:
    """Runs it on this node; it has to end well. What it said on stderr."""
    node.start()
    environment = os.environ | {"SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)}
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # it fails in all interpreters but the first
    done = subprocess.run(
        [sys.executable, *options, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def has_nothing(node: Node) -> bool:
    return not node.lane_files() and not node.samples().names("jobs")


def test_without_the_gil_it_refuses_to_record(node: Node) -> None:
    """A build without the GIL, as an ordinary one can play it."""
    said = run(
        "import sys\nsys._is_gil_enabled = lambda: False\n"
        + SERVICE(root=str(ROOT), ending="assert 'GIL' in status['problem']"),
        node,
    )
    assert [line for line in said.splitlines() if line.startswith(REFUSED)] == [
        f"{REFUSED}it needs the GIL: start Python without PYTHON_GIL=0 and -X gil=0"
    ]
    assert has_nothing(node)


# Python turns the GIL on when it has found an extension, and warns before that is run: once.
WARNED = """
import sys, warnings
from importlib.machinery import PathFinder

warned = []

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "shmetrics._ring":
            return None
        spec = PathFinder.find_spec(name, path, target)
        create = spec.loader.create_module

        def create_and_warn(spec):
            if not warned:
                warned.append(spec.name)
                warnings.warn("The GIL has been enabled to load 'shmetrics._ring'", RuntimeWarning)
            return create(spec)

        spec.loader.create_module = create_and_warn
        return spec

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize("options", [[], ["-W", "error"], ["-W", "ignore"]])
def test_a_warning_that_the_gil_is_on_now_keeps_nothing_from_being_recorded(
    node: Node, options: list[str]
) -> None:
    """As a build without the GIL warns; an ordinary one plays it."""
    said = run(
        WARNED + "import shmetrics\nshmetrics.Counter('jobs', 'Jobs').inc()\nassert warned\n"
        "assert shmetrics.status()['connected']\n",
        node,
        *options,
    )
    lines = [line for line in said.splitlines() if "The GIL has been enabled" in line]
    warnings = [line for line in lines if not line.startswith(" ")]  # 3.13 shows the source as well
    assert len(warnings) == (options != ["-W", "ignore"])
    assert REFUSED not in said
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 1


def test_a_compiled_part_that_warns_for_ever_is_refused(node: Node) -> None:
    """An extension that is not the one that was built, say: nothing has turned anything on."""
    said = run(
        WARNED.replace("if not warned", "if True")
        + SERVICE(root=str(ROOT), ending="assert 'cannot be loaded' in status['problem']"),
        node,
        "-W",
        "error::RuntimeWarning",
    )
    assert said.count(REFUSED) == 1
    assert has_nothing(node)


FREE_THREADED = os.environ.get("SHMETRICS_TEST_FREE_THREADED", "")


@pytest.mark.skipif(
    not FREE_THREADED, reason="SHMETRICS_TEST_FREE_THREADED names no python with shmetrics"
)
@pytest.mark.parametrize("warnings", ["default", "error"])
@pytest.mark.parametrize("gil", ["0", "1", ""])
def test_a_free_threaded_build(node: Node, gil: str, warnings: str) -> None:
    """With the GIL off for good it refuses; with the GIL on, or turned on by it, it records."""
    node.start()
    program = "import shmetrics; shmetrics.Counter('jobs', 'Jobs').inc(); shmetrics.status()"
    options = ["-W", warnings] + (["-X", f"gil={gil}"] if gil else [])
    done = subprocess.run(
        [FREE_THREADED, *options, "-c", program],
        env=os.environ | {"SHMETRICS_RUNTIME_DIR": str(node.runtime_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.startswith(REFUSED) == (gil == "0")
    if gil == "0":
        assert has_nothing(node)
    else:
        assert node.samples().value("jobs_total") == 1


SUB_INTERPRETERS = {
    # Own GIL where there is such a thing, and no extension that does not say that it can.
    "isolated": """
try:
    import _interpreters as interpreters  # 3.13
    failed = interpreters.run_string(interpreters.create("isolated"), CODE)
    assert failed is None, failed.formatted
except ImportError:
    import _xxsubinterpreters as interpreters
    interpreters.run_string(interpreters.create(), CODE)
""",
    # As mod_wsgi and Apache make them: the GIL is shared.
    "legacy": """
import _testcapi
assert _testcapi.run_in_subinterp(CODE) == 0
""",
}


@pytest.mark.parametrize("kind", SUB_INTERPRETERS)
def test_a_second_interpreter_of_a_process_is_refused(node: Node, kind: str) -> None:
    """And the first one goes on."""
    if kind == "legacy":
        pytest.importorskip("_testcapi")
    inner = SERVICE(root=str(ROOT), ending="assert 'interpreter' in status['problem'], status")
    said = run(
        "import shmetrics\njobs = shmetrics.Counter('jobs', 'Jobs')\njobs.inc()\n"
        + f"CODE = {inner!r}\n"
        + SUB_INTERPRETERS[kind]
        + "jobs.inc(10)\nassert shmetrics.status()['connected']\n",
        node,
    )
    assert said.count(REFUSED) == 1
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 11
    assert node.samples().value("shmetrics_lanes_retired_total") == 1


def test_an_only_interpreter_records_wherever_it_is(node: Node) -> None:
    """A process whose only user of shmetrics is a sub-interpreter, as under mod_wsgi."""
    pytest.importorskip("_testcapi")
    inner = """
import shmetrics
jobs = shmetrics.Counter("jobs", "Jobs")
jobs.inc(3)
assert shmetrics.status()["connected"]
"""
    outer = f"import _testcapi\nassert _testcapi.run_in_subinterp({inner!r}) == 0\n"
    assert run(outer, node) == ""
    node.until_no_lane()
    assert node.samples().value("jobs_total") == 3


@pytest.mark.parametrize("module", ["_ring", "layout"])
def test_a_compiled_part_that_does_not_load_leaves_the_service_alone(
    node: Node, module: str
) -> None:
    said = run(
        f"import sys\nsys.modules['shmetrics.{module}'] = None\n"
        + SERVICE(root=str(ROOT), ending="assert 'cannot be loaded' in status['problem']"),
        node,
    )
    assert said.count(REFUSED) == 1
    assert has_nothing(node)


def test_who_switched_it_off_is_told_nothing(node: Node) -> None:
    program = "import sys\nsys.modules['shmetrics._ring'] = None\n"
    program += "import os\nos.environ['SHMETRICS_DISABLE'] = '1'\n"
    assert run(program + SERVICE(root=str(ROOT), ending=""), node) == ""


def test_nothing_has_all_that_an_emitter_uses() -> None:
    used = set()
    names = ("registration/client.py", "label_rules/rule.py", "oslo_families.py", "rpc.py")
    for path in (
        *(ROOT / "shmetrics/emitter").glob("*.py"),
        *(ROOT / "shmetrics" / name for name in (*names, "sample_names.py")),
    ):
        for found in ast.walk(ast.parse(path.read_text())):
            if isinstance(found, ast.Attribute) and isinstance(found.value, ast.Name):
                used |= {found.attr} if found.value.id in ("_ring", "layout") else set()
    assert {"process_status", "CounterSeries", "TYPE_CALLS", "OVERFLOW_VALUE"} <= used
    for name in used:
        assert hasattr(stub, name), name
    for kind in ("Counter", "Gauge", "Histogram", "Call"):
        real, silent = (vars(getattr(module, f"{kind}Series")) for module in (_ring, stub))
        public = {name for name in real if not name.startswith("_")} - {"with_stamp"}
        assert public <= {*silent, *vars(stub.Series)}, kind


@pytest.mark.parametrize(("what", "value"), [("implementation.name", "pypy"), ("platform", "aix")])
def test_a_build_for_something_else_says_what_it_is_for(what: str, value: str) -> None:
    program = f"import sys, runpy\nsys.{what} = {value!r}\nrunpy.run_path('setup.py')\n"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("shmetrics is for CPython on Linux, and this is ")
    assert value in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""`[profiler]`: all is off by default, nothing is loaded for what is off, and nothing raises."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from oslo_config import cfg
from osprofiler import notifier, opts, profiler

from shmetrics.hooks.osprofiler import _profiler
from shmetrics.hooks.tracing import options, switches
from tests.nodes.node import Node

from .conftest import TRACED, Configured

SOURCES = {
    "trace_wsgi": "wsgi",
    "trace_rpc": "rpc",
    "trace_sqlalchemy": "statements",
    "trace_transactions": "transactions",
    "trace_redis": "redis",
    "trace_mongodb": "mongodb",
    "trace_requests": "requests",
    "trace_classes": "classes",
}


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Return the sources that were turned on and off, in place of them."""
    seen: list[tuple[str, dict[str, Any]]] = []

    class Source:
        def __init__(self, module: str) -> None:
            self.name = module.rpartition(".")[2]

        def enable(self, **wanted: Any) -> None:
            seen.append((self.name, wanted))

        def disable(self) -> None:
            seen.append((self.name, {}))

    monkeypatch.setattr("shmetrics.hooks.tracing.switches.importlib.import_module", Source)
    return seen


def test_everything_is_off_by_default(configured: Configured, enabled: list[Any]) -> None:
    assert switches.setup(configured()) == switches.OFF
    assert not switches.setup(configured(**TRACED))
    assert (enabled, switches.is_set_up()) == ([], False)
    assert notifier.get() is notifier._noop_notifier


@pytest.mark.parametrize("name", SOURCES)
def test_each_switch_turns_on_its_own(
    shm: Node, configured: Configured, enabled: list[Any], name: str
) -> None:
    on = "a:B" if name == "trace_classes" else True
    found = switches.setup(configured(**TRACED, **{name: on}))
    assert {field for field in SOURCES.values() if getattr(found, field)} == {SOURCES[name]}
    assert len(enabled) == (0 if name == "trace_rpc" else 1)
    switches.teardown()
    assert len(enabled) == (0 if name == "trace_rpc" else 2)


def test_the_compiled_profiler_is_switched_on_and_off(shm: Node, configured: Configured) -> None:
    own: object = profiler.Trace
    assert not switches.setup(configured(compiled_profiler=True))  # without enabled
    assert profiler.Trace is own
    assert switches.setup(configured(**TRACED, compiled_profiler=True)).compiled
    now: object = profiler.Trace
    assert now is _profiler.Trace
    switches.teardown()
    assert profiler.Trace is own


def test_without_enabled_there_are_metrics_and_no_spans(
    configured: Configured, enabled: list[Any]
) -> None:
    every = {name: "a:B" if name == "trace_classes" else True for name in SOURCES}
    found = switches.setup(configured(**every))
    assert [name for name, _ in enabled] == ["sqlalchemy", "redis", "mongodb"]
    assert not any((found.wsgi, found.rpc, found.requests, found.classes))
    assert notifier.get() is notifier._noop_notifier


def test_what_may_be_said_is_off_by_default(
    configured: Configured, enabled: list[Any], shm: Node
) -> None:
    every = {name: "a:B" if name == "trace_classes" else True for name in SOURCES}
    switches.setup(configured(**TRACED, **every))
    wanted = dict(enabled)
    assert wanted["sqlalchemy"] == {"statements": True, "transactions": True, "parameters": False}
    assert wanted["redis"] == wanted["mongodb"] == wanted["requests"] == {"arguments": False}
    assert wanted["classes"] == {"names": ("a:B",), "arguments": False}
    switches.teardown()
    enabled.clear()
    switches.setup(configured(**TRACED, **every, trace_arguments=True, trace_sql_parameters=True))
    wanted = dict(enabled)
    assert wanted["sqlalchemy"]["parameters"]
    assert all(wanted[name]["arguments"] for name in ("redis", "mongodb", "requests", "classes"))


def test_twice_is_once(shm: Node, configured: Configured, enabled: list[Any]) -> None:
    conf = configured(**TRACED, trace_redis=True)
    assert switches.setup(conf) == switches.setup(conf)
    assert enabled == [("redis", {"arguments": False})]
    switches.teardown()
    switches.teardown()
    assert enabled == [("redis", {"arguments": False}), ("redis", {})]


def test_the_notifier_of_a_service_is_left_alone(configured: Configured) -> None:
    def own(info: dict[str, Any]) -> None: ...

    notifier.set(own)
    try:
        switches.setup(configured(**TRACED, trace_rpc=True))
        assert notifier.get() is own
        switches.teardown()
        assert notifier.get() is own
    finally:
        notifier.set(notifier._noop_notifier)


def test_a_service_that_tells_its_name_later_is_heard(shm: Node, configured: Configured) -> None:
    switches.setup(configured(**TRACED, trace_rpc=True))
    ours = notifier.get()
    theirs = notifier.create("shm://", service="nova-compute")
    assert theirs.__self__.spans._rest[0] == "nova-compute"  # type: ignore[attr-defined]
    notifier.set(theirs)
    switches.teardown()
    assert notifier.get() is theirs is not ours
    notifier.set(notifier._noop_notifier)


def test_what_cannot_be_turned_on_is_said_once_and_keeps_nothing_else_off(
    shm: Node, configured: Configured, caplog: pytest.LogCaptureFixture
) -> None:
    conf = configured(**TRACED, trace_classes="no.such.module:X,nonsense", trace_requests=True)
    conf.set_override("connection_string", "nonsense://user:secret@host", "profiler")
    for _ in range(2):
        assert switches.setup(conf).requests
    conf.clear_override("connection_string", "profiler")
    said = [record.getMessage() for record in caplog.records if "[profiler]" in record.getMessage()]
    assert len([line for line in said if "connection_string" in line]) == 1
    assert len([line for line in said if "nonsense" in line and "trace_classes" in line]) == 1
    assert "secret" not in caplog.text


def test_a_configuration_that_is_none_turns_nothing_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert switches.setup(object()) == switches.OFF
    assert len(caplog.records) == 1


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_osprofiler_and_we_register_the_same_options_in_any_order(first: str) -> None:
    conf = cfg.ConfigOpts()
    if first == "ours":
        options.register(conf)
    opts.set_defaults(conf, hmac_keys="k")
    options.register(conf)
    conf([], default_config_files=[])
    assert conf.profiler.enabled is conf.profiler.trace_requests is False
    assert conf.profiler.hmac_keys == "k"


def test_oslo_config_generator_lists_ours(tmp_path: Any) -> None:
    sample = tmp_path / "sample.conf"
    command = [f"{sys.prefix}/bin/oslo-config-generator", "--namespace", "shmetrics"]
    subprocess.run([*command, "--output-file", str(sample)], check=True, timeout=60)
    text = sample.read_text()
    assert "[profiler]" in text
    listed = {line.partition(" =")[0] for line in text.splitlines() if line.startswith("#trace_")}
    mine = {name for name in SOURCES if name not in ("trace_sqlalchemy", "trace_requests")}
    assert listed == {f"#{name}" for name in {*mine, "trace_sql_parameters", "trace_arguments"}}


WITHOUT = """
import sys, warnings, logging
warnings.simplefilter("ignore")
logging.basicConfig(format="%(message)s")
from oslo_config import cfg
from shmetrics.hooks.tracing import switches
{hidden}
conf = cfg.ConfigOpts()
conf(["--config-file", sys.argv[1]], project="x")
assert not switches.setup(conf)
assert "osprofiler" not in sys.modules, "loaded for nothing"
"""


@pytest.mark.parametrize("is_on", [False, True])
def test_without_osprofiler_a_switch_that_is_on_is_one_line(tmp_path: Any, is_on: bool) -> None:
    file = tmp_path / "service.conf"
    file.write_text(f"[profiler]\ntrace_sqlalchemy = {is_on}\n")
    code = WITHOUT.format(hidden="switches.find_spec = lambda name: None")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    said = ["[profiler]: nothing is traced without OSProfiler; pip install osprofiler"]
    assert done.stderr.splitlines() == (said if is_on else [])

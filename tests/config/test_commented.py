# SPDX-License-Identifier: Apache-2.0
"""The configuration written down is the configuration read, and what the documentation shows."""

from pathlib import Path

import msgspec
import pytest

from shmetrics import config
from shmetrics.config.deliver import Deliver
from shmetrics.config.gather import Gather, GatherConfig, StaticUnit
from shmetrics.config.load import load_file
from shmetrics.config.probe import ProbeOptions

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize(
    "wanted",
    [
        config.Config(),
        config.Config(
            constant_labels={"a": 'quote " back \\ line\n bell\x07 del\x7f', "b": "Ünï 🜁"},
            registration=config.Registration(allow_uids=[1, "root"]),
            oslo_metrics_socket_mode=0o777,
            tick_seconds=0.25,
        ),
        config.Config(constant_labels={}),
        config.Config(
            labels=[
                config.LabelRule(label="server", drop=True),
                config.LabelRule(family="a:*", label="b", keep=True),
                config.LabelRule(label="host", hash=64),
                config.LabelRule(
                    label="topic",
                    rewrite=[
                        config.RewriteRule(match=r'(?P<q>.+)_\d" [é\x00]', replace="${q} $$"),
                        config.RewriteRule(match="", replace=""),
                    ],
                ),
            ]
        ),
        config.Config(store=config.Store(native_histograms=False)),
        config.Config(
            metrics=config.Metrics(
                forward=[
                    config.MetricsForward(
                        to="otlp+https://h/x", families=["a*"], labels={"b": 'q"'}, delta=True
                    )
                ]
            )
        ),
        config.Config(
            traces=config.Traces(
                forward=[
                    config.TracesForward(
                        to="otlp+https://h/x", headers={"A-b": 'q"'}, batch_spans=7
                    ),
                    config.TracesForward(to="messaging://", transport_url="rabbit://h"),
                ]
            )
        ),
    ],
)
def test_it_loads_as_it_was(tmp_path: Path, wanted: config.Config) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text(config.commented(wanted), encoding="utf-8")
    assert config.load(str(path)) == wanted


@pytest.mark.parametrize(
    "gather",
    [
        Gather(),
        Gather(
            kinds=["gear"],
            probe=[ProbeOptions(name="q", command=["/bin/q", '"é'], user=7, format="prometheus")],
            deliver=[Deliver(to="journal://"), Deliver(to="syslog+udp://h:514", facility="mail")],
            units=[StaticUnit(name="a b", cgroup="/a", uid=3, home="/srv")],
        ),
    ],
)
def test_a_gatherers_configuration_loads_as_it_was(tmp_path: Path, gather: Gather) -> None:
    path = tmp_path / "gather.toml"
    path.write_text(config.commented(GatherConfig(gather=gather)), encoding="utf-8")
    assert load_file(str(path), GatherConfig) == GatherConfig(gather=gather)


def test_the_examples_of_a_gatherers_tables_are_some(tmp_path: Path) -> None:
    lines = config.commented(GatherConfig()).splitlines()
    examples = ["[[gather.probe]]", "[[gather.deliver]]", "[[gather.units]]"]
    at = [lines.index(f"# {table}") for table in examples]
    text = [line[2:] for begin in at for line in lines[begin : lines.index("", begin)]]
    path = tmp_path / "gather.toml"
    path.write_text("\n".join(text))
    found = load_file(str(path), GatherConfig).gather
    assert (len(found.probe), len(found.deliver), len(found.units)) == (1, 1, 1)


def test_the_example_of_a_label_rule_is_one(tmp_path: Path) -> None:
    lines = config.commented(config.Config()).splitlines()
    example = lines[lines.index("# [[labels]]") :]
    path = tmp_path / "shmetrics.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in example))
    assert config.load(str(path)).labels == [
        config.LabelRule(family="oslo_messaging_rpc_*", label="server", hash=64)
    ]


@pytest.mark.parametrize("table", ["traces", "metrics"])
def test_the_example_of_a_destination_is_one(tmp_path: Path, table: str) -> None:
    lines = config.commented(config.Config()).splitlines()
    at = lines.index(f"# [[{table}.forward]]")
    path = tmp_path / "shmetrics.toml"
    path.write_text("\n".join(line.removeprefix("# ") for line in lines[at : lines.index("", at)]))
    loaded = config.load(str(path))
    assert [one.to for one in loaded.traces.forward + loaded.metrics.forward] == [
        {
            "traces": "otlp+http://127.0.0.1:4318/v1/traces",
            "metrics": "graphite://127.0.0.1:2003",
        }[table]
    ]


ALL_TABLES = [
    name
    for name in config.Config.__struct_fields__
    if isinstance(getattr(config.Config(), name), msgspec.Struct)
]


def test_every_option_is_explained() -> None:
    lines = config.commented(config.Config()).splitlines()
    options = [at for at, line in enumerate(lines) if " = " in line and line[0] != "#"]
    sections = [config.Config(), *(getattr(config.Config(), name) for name in ALL_TABLES)]
    tables = len(ALL_TABLES) + len(
        ["labels", "forward", "forward"]
    )  # of these there are but examples
    assert len(options) + tables == sum(len(one.__struct_fields__) for one in sections)
    for at in options:
        assert lines[at - 1].startswith("# "), lines[at]
    assert max(map(len, lines)) <= 100


def test_the_documentation_shows_the_defaults() -> None:
    defaults = config.Config(constant_labels={"hostname": "node-1"})
    assert config.commented(defaults) in DOCS.read_text(encoding="utf-8")

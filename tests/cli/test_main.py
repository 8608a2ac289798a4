# SPDX-License-Identifier: Apache-2.0
"""The common behaviour of all commands: help, one line per error, quiet ends."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import shmetrics
from shmetrics import cli
from shmetrics.cli import lanes
from shmetrics.errors import ConfigError, ShmetricsError


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_with_an_example(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"usage: shmetrics {name}" in shown
    assert f"example: shmetrics {name}" in shown


def test_the_command_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {name}" in shown for name in cli.COMMANDS)


def test_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"shmetrics {shmetrics.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "shmetrics: the following arguments are required: command; see shmetrics --help\n"),
        (["lane"], "shmetrics: argument command: invalid choice: 'lane' "),
        (["lanes", "--nix"], "shmetrics: unrecognized arguments: --nix; see shmetrics --help\n"),
        (["top", "--interval", "0"], "shmetrics top: argument --interval: 0 is not between "),
        (["top", "--interval", "x"], "shmetrics top: argument --interval: "),
        (["demo", "--seconds", "-1"], "shmetrics demo: argument --seconds: -1 is not a number "),
        (["collector", "--listen", "x"], "shmetrics: --listen: 'x' is not HOST:PORT "),
    ],
)
def test_a_bad_invocation_is_one_line(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(error)
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        (ShmetricsError("/run/x: no room"), 1, "shmetrics: /run/x: no room\n"),
        (ConfigError("x.toml: lane: nix"), 2, "shmetrics: x.toml: lane: nix\n"),
        (
            ModuleNotFoundError("no", name="msgspec.json"),
            1,
            "shmetrics: msgspec.json is not installed; pip install 'shmetrics[collector]'\n",
        ),
        (
            ModuleNotFoundError("no", name="oslo_messaging"),
            1,
            "shmetrics: oslo_messaging is not installed; pip install 'shmetrics[oslo]'\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (
            ZeroDivisionError("ours"),
            1,
            "shmetrics: internal error: ZeroDivisionError: ours; "
            "python -X dev -m shmetrics shows where, please report it\n",
        ),
    ],
)
def test_an_error_is_one_line(
    raised: BaseException,
    status: int,
    error: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(options: object) -> int:
        raise raised

    monkeypatch.setattr(lanes, "run", fail)
    assert cli.main(["lanes"]) == status
    assert capsys.readouterr().err == error


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    log = tmp_path / "err"
    with log.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "shmetrics", "check", "--print-default"],
            stdout=subprocess.PIPE,
            stderr=err,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 141
    assert log.read_text() == ""


def test_the_base_package_says_what_is_missing(command: Any, tmp_path: Path) -> None:
    """Check a real process in which the extras cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('msgspec', 'numpy', 'rich', 'starlette', 'h11', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{Path(shmetrics.__file__).parents[1]}"}
    for arguments in (["collector"], ["check"], ["demo"]):
        outcome = command(*arguments, env=env)
        assert outcome.status == 1
        assert outcome.err.startswith("shmetrics: ")
        assert outcome.err.endswith("is not installed; pip install 'shmetrics[collector]'\n")
    assert command("--help", env=env).status == 0


def test_help_imports_no_extra(command: Any) -> None:
    code = (
        "import sys; from shmetrics.cli import main; main(['--help']);"
        "print([name for name in ('numpy', 'msgspec', 'rich', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"

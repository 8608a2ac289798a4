# SPDX-License-Identifier: Apache-2.0
"""The checks of command lines in documents, by program.

Commands that start a server or change a machine are not run. What they name, targets, options,
extras, files, has to exist.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import metadata
from urllib.parse import urlsplit

from .snippets import ROOT, Snippet


def commands(snippet: Snippet) -> Iterator[str]:
    """Yield the commands of a console block (after `$ `), or of a shell script (every line)."""
    text = snippet.text.replace("\\\n", " ")
    for line in text.splitlines():
        if snippet.language == "console":
            if line.startswith("$ "):
                yield line[2:]
        elif line.strip() and not line.startswith("#"):
            yield line


def check(command: str) -> None:
    """Raise AssertionError for a command that could not work."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):  # VARIABLE=value before the program
        words = words[1:]
    words = words[1:] if words and words[0] == "sudo" else words
    assert words, f"nothing in it: {command}"
    program = words[0]
    assert program in CHECKS, f"no check knows {program}: write one in {__name__}"
    CHECKS[program](words[1:])


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _make(words: list[str]) -> None:
    done = _run("make", "--dry-run", *words)
    assert done.returncode == 0, done.stderr


def _pip(words: list[str]) -> None:
    assert words[0] == "install", words
    extras = set(metadata("shmetrics").get_all("Provides-Extra") or [])
    for word in words[1:]:
        named = re.fullmatch(r"shmetrics(\[(?P<extras>[\w,]+)\])?", word)
        assert named, f"installs something else: {word}"
        assert set((named["extras"] or "").split(",")) - {""} <= extras


def _shmetrics(words: list[str]) -> None:
    """Check that the subcommand exists, and that its help knows every option."""
    words = words[: words.index(">")] if ">" in words else words
    subcommand = words[0]
    done = _run(sys.executable, "-m", "shmetrics", subcommand, "--help")
    assert done.returncode == 0, f"shmetrics {subcommand}: {done.stderr}"
    for word in words[1:]:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}\b", done.stdout), (
                f"shmetrics {subcommand} has no {word}"
            )


def _osprofiler(words: list[str]) -> None:
    """Check that the subcommand exists, and that its help knows every option."""
    code = "from osprofiler.cmd.shell import main; main()"
    done = _run(sys.executable, "-W", "ignore", "-c", code, *words[:2], "--help")
    assert done.returncode == 0, f"osprofiler {words[:2]}: {done.stderr}"
    unknown = [word for word in words if word.startswith("-") and word not in done.stdout]
    assert not unknown, f"osprofiler {words[:2]} has no {unknown}"


def _nova_manage(words: list[str]) -> None:
    """Check that a URL in it is a template that gives each node its own again, as Nova fills it
    in."""
    if "--transport-url" not in words:
        return
    template = words[words.index("--transport-url") + 1]
    for own in (
        "rabbit://user:password@broker:5672/",
        "shmetrics+rabbit://user:p%40ssword@broker:5672/cell1",
        "shmetrics+rabbit://u:p@one:5672,v:q@two:5672/cell1",
    ):
        url = urlsplit(own)
        names = ("scheme", "username", "password", "hostname", "port")
        said = {name: getattr(url, name) for name in names}
        assert template.format(**said, path=url.path.lstrip("/")) == own


def _path(words: list[str]) -> None:
    for word in words:
        assert os.path.exists(ROOT / word), f"no such file: {word}"


def _install(words: list[str]) -> None:
    """Check that the files that are installed exist."""
    *options, _ = words
    _path([word for word in options if word.startswith("packaging/")])


def _anything(words: list[str]) -> None:
    """Check nothing: it is a well-known tool, with arguments that are the reader's own."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": _make,
    "pip": _pip,
    "osprofiler": _osprofiler,
    "shmetrics": _shmetrics,
    "cat": _path,
    "less": _path,
    "nova-manage": _nova_manage,
    "install": _install,
    "gunicorn": _anything,
    "curl": _anything,
    "promtool": _anything,
    "systemctl": _anything,
    "systemd-sysusers": _anything,
}

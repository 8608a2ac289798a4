# SPDX-License-Identifier: Apache-2.0
"""Every block of every document is run, or parsed by what will read it; every link leads there."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

import shmetrics
from shmetrics import config
from shmetrics.config import spawner, web_file, yaml_file
from shmetrics.config.gather import GatherConfig
from shmetrics.config.http_file import HttpFile
from shmetrics.config.load import load_file

from .commands import check, commands
from .snippets import ROOT, Snippet, documents, links_of, snippets, snippets_of


def run_python(snippet: Snippet, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", snippet.text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_commands(snippet: Snippet, tmp_path: Path) -> None:
    found = list(commands(snippet))
    assert found, "no command in it"
    for command in found:
        check(command)


def load_toml(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "shmetrics.toml"
    file.write_text(snippet.text)
    if "[spawner]" in snippet.text:
        spawner.load(str(file))
    elif re.search(r"^\[+(gather|spawner)\b", snippet.text, re.MULTILINE):
        load_file(str(file), GatherConfig)
    else:
        config.load(str(file))


def read_ini(snippet: Snippet, tmp_path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=True, default_section="")
    parser.read_string(snippet.text)
    assert parser.sections()
    for section in parser.sections():
        url = parser[section].get("transport_url")
        if url is not None:
            ours, _, real = url.partition("://")[0].partition("+")
            names = entry_points(group="oslo.messaging.drivers").names
            assert {ours, real.partition("+")[0]} <= names, url


def read_yaml(snippet: Snippet, tmp_path: Path) -> None:
    parsed = yaml.safe_load(snippet.text)
    assert isinstance(parsed, dict)
    promtool = shutil.which("promtool")
    file = tmp_path / "snippet.yml"
    file.write_text(snippet.text)
    if "tls_server_config" in parsed:
        web_file.read(str(file))
    elif "tls_config" in parsed:
        yaml_file.decode(yaml_file.load(str(file)), str(file), HttpFile)
    elif "scrape_configs" in parsed and promtool:
        command = [promtool, "check", "config", "--syntax-only", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def read_json(snippet: Snippet, tmp_path: Path) -> None:
    json.loads(snippet.text)


def compile_c(snippet: Snippet, tmp_path: Path) -> None:
    source = tmp_path / "snippet.c"
    source.write_text(snippet.text)
    command = ["cc", "-std=gnu11", "-Wall", "-Werror", "-fsyntax-only"]
    command += [f"-I{shmetrics.get_include()}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def leave_alone(snippet: Snippet, tmp_path: Path) -> None:
    """Check nothing: output and drawings are for people only."""


READERS: dict[str, Callable[[Snippet, Path], None]] = {
    "python": run_python,
    "console": check_commands,
    "sh": check_commands,
    "toml": load_toml,
    "ini": read_ini,
    "yaml": read_yaml,
    "c": compile_c,
    "json": read_json,
    "text": leave_alone,
    "": leave_alone,
}


@pytest.mark.parametrize("snippet", snippets(), ids=str)
def test_snippet(snippet: Snippet, tmp_path: Path) -> None:
    assert snippet.language in READERS, f"{snippet}: nothing reads {snippet.language!r}"
    READERS[snippet.language](snippet, tmp_path)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in links_of(path):
        if not link.startswith(("http://", "https://", "#")):
            assert (path.parent / link.partition("#")[0]).exists(), f"{path}: {link}"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "import shmetrics\nshmetrics.Counter('a', 'b').increment()\n"),
        ("console", "$ make no-such-target\n"),
        ("console", "$ shmetrics collector --no-such-option\n"),
        ("console", "$ shmetrics no-such-command\n"),
        ("console", "$ pip install 'shmetrics[no-such-extra]'\n"),
        ("console", "$ some-program-nobody-checks\n"),
        ("toml", "no_such_option = 1\n"),
        ("toml", "[gather]\nno_such_option = 1\n"),
        ("ini", "[DEFAULT]\ntransport_url = shmetrics+nosuchbroker://host/\n"),
        ("json", '{"a": 1,}\n'),
        ("yaml", "a: [unclosed\n"),
        ("yaml", "tls_server_config: {no_such_key: 1}\n"),
        ("yaml", "tls_config: {no_such_key: 1}\n"),
        ("c", "#include <shmetrics/no_such_header.h>\n"),
    ],
)
def test_a_wrong_snippet_is_noticed(language: str, text: str, tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text(f"Like this:\n\n```{language}\n{text}```\n")
    (snippet,) = snippets_of(document)
    assert snippet.text == text
    with pytest.raises(Exception, match=r"."):
        READERS[language](snippet, tmp_path)

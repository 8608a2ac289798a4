# SPDX-License-Identifier: Apache-2.0
"""Files that a configuration names: read or refused at once, so that nobody waits for a pipe."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shmetrics import plain_file
from shmetrics.config import load, web_file
from shmetrics.config.client_tls import client_context
from shmetrics.config.http_file import Credentials
from shmetrics.errors import ConfigError
from shmetrics.http import tls


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_directory(path: Path) -> None:
    path.mkdir()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_large(path: Path) -> None:
    path.write_bytes(b"#" * (3 << 20))


KINDS: dict[Callable[[Path], None], str] = {
    make_pipe: "this is a pipe, not a file",
    make_directory: "this is a directory, not a file",
    make_socket: "this is a socket, not a file",
    make_device: "this is a device, not a file",
    make_large: "this is larger than {} KiB",
}


def read_web_file(path: Path, named: Path) -> None:
    web_file.read(str(named))


def read_certificate(path: Path, named: Path) -> None:
    path.write_text(f"tls_server_config: {{cert_file: {named}, key_file: {named}}}")
    tls.context_of(web_file.read(str(path)))


def read_http_file(path: Path, named: Path) -> None:
    Credentials(str(named))


def read_password(path: Path, named: Path) -> None:
    path.write_text(f"basic_auth: {{username: alice, password_file: {named}}}")
    Credentials(str(path))


def read_authority(path: Path, named: Path) -> None:
    path.write_text(f"tls_config: {{ca_file: {named}}}")
    Credentials(str(path))


def read_client_certificate(path: Path, named: Path) -> None:
    path.write_text(f"tls_config: {{cert_file: {named}, key_file: {named}}}")
    Credentials(str(path))


def read_config(path: Path, named: Path) -> None:
    load(str(named))


def read_oslo_config(path: Path, named: Path) -> None:
    load("", str(named))


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize(
    "read",
    [
        *(read_web_file, read_certificate, read_http_file, read_password, read_authority),
        *(read_client_certificate, read_config, read_oslo_config),
    ],
)
def test_what_is_no_file_is_refused_in_a_line(
    tmp_path: Path, read: Callable[[Path, Path], None], make: Callable[[Path], None]
) -> None:
    named = tmp_path / "named"
    make(named)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "file.yml", named)
    is_yaml = read in (read_web_file, read_http_file)
    assert KINDS[make].format(256 if is_yaml else 1024) in str(caught.value)
    assert str(named) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", KINDS)
def test_the_authority_of_a_server_is_a_file_too(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    named = tmp_path / "named"
    make(named)
    with pytest.raises(ConfigError, match=f"ca_file: {named}: {KINDS[make].format(1024)}"):
        client_context(str(named))


def test_a_file_that_becomes_a_pipe_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("x")
    before = path.stat()
    path.unlink()
    os.mkfifo(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda _: before)
        with pytest.raises(OSError, match="this is a pipe"):
            plain_file.read(str(path))


def test_a_file_of_just_the_size_that_may_be(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1024)
    assert plain_file.read(str(path), 1024) == b"x" * 1024
    with pytest.raises(OSError, match="larger than 0 KiB"):
        plain_file.read(str(path), 1023)


def test_a_table_without_end_in_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "shmetrics.toml"
    path.write_text("x = " + "[" * 100_000)
    with pytest.raises(ConfigError, match=r"nested too deeply|not TOML"):
        load(str(path))

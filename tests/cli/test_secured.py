# SPDX-License-Identifier: Apache-2.0
"""A collector with TLS, client certificates and passwords, and the commands that talk to it."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.http.authority import PASSWORD, TLS, Authority, hashed, write
from tests.servers.collector import Collector

TRACE = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the files of both sides. The server's certificate is for its name, not for its
    address."""
    authority = Authority(tmp_path)
    authority.certify("server", "node-1.example")
    authority.certify("client", "client.example")
    tls = {**TLS, "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    users = {"alice": hashed()}
    write(tmp_path / "web.yml", {"tls_server_config": tls, "basic_auth_users": users})
    write(tmp_path / "http.yml", credentials())
    for secret in ("web.yml", "server.key"):
        os.chmod(tmp_path / secret, 0o600)
    return tmp_path


def credentials() -> dict[str, Any]:
    return {
        "basic_auth": {"username": "alice", "password": PASSWORD},
        "tls_config": {
            "ca_file": "ca.crt",
            "cert_file": "client.crt",
            "key_file": "client.key",
            "server_name": "node-1.example",
        },
    }


@pytest.fixture
def secured(runtime_dir: Path, folder: Path) -> Iterator[Collector]:
    collector = Collector(runtime_dir, folder / "log", ["--web-config", str(folder / "web.yml")])
    yield collector
    assert collector.stop() == 0


def test_it_says_what_a_client_has_to_bring(secured: Collector, folder: Path) -> None:
    assert secured.url.startswith("https://")
    assert (folder / "log").read_text() == (
        f"shmetrics collector is ready: {secured.url} "
        "(this node only; TLS, client certificates, passwords)\n"
    )


def test_commands_come_in_with_a_file(
    secured: Collector, folder: Path, command: Any, runtime_dir: Path
) -> None:
    way_in = ["--runtime-dir", str(runtime_dir), "--http-config", str(folder / "http.yml")]
    outcome = command("lanes", "--json", *way_in)
    assert (outcome.status, json.loads(outcome.out)) == (0, [])
    assert command("top", "--once", "--interval", "0.1", *way_in)[:2] == (0, "no calls yet\n")
    assert f"{secured.url}: draining, ready, 0 lanes" in command("check", *way_in).out
    env = {"SHMETRICS_HTTP_CONFIG": str(folder / "http.yml")}
    assert command("lanes", "--runtime-dir", str(runtime_dir), env=env).status == 0


@pytest.mark.parametrize("path", ["/traces", f"/traces/{TRACE}", f"/api/v1/traces/{TRACE}"])
def test_traces_are_behind_the_same_door(
    runtime_dir: Path, tmp_path: Path, path: str, command: Any
) -> None:
    users = write(tmp_path / "web.yml", {"basic_auth_users": {"alice": hashed()}})
    users.chmod(0o600)
    collector = Collector(runtime_dir, tmp_path / "log", ["--web-config", str(users)])
    try:
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(collector.url + path, timeout=20)
        with found.value as error:
            assert (error.code, error.read()) == (401, b"401 user and password, please\n")
        trace = ["trace", "show", TRACE, "--runtime-dir", str(runtime_dir)]
        assert "401" in command(*trace).err
        way_in = str(write(tmp_path / "http.yml", {"basic_auth": credentials()["basic_auth"]}))
        assert command(*trace, "--http-config", way_in)[:2] == (0, "no such trace\n")
    finally:
        assert collector.stop() == 0


def wrong(folder: Path, part: str, **without: None) -> str:
    """Return the path of a file that lacks a part of the credentials."""
    contents = credentials()
    contents[part] = {k: v for k, v in contents[part].items() if k not in without}
    return str(write(folder / "wrong.yml", contents))


def test_a_command_that_may_not_come_in_is_told_what_to_bring(
    secured: Collector, folder: Path, command: Any, runtime_dir: Path
) -> None:
    lanes = ["lanes", "--runtime-dir", str(runtime_dir)]
    outcome = command(*lanes)
    assert outcome.status == 1
    assert outcome.err.startswith(f"shmetrics: {secured.url}: ")
    assert outcome.err.endswith(
        "give ca_file and server_name, or a certificate of your own, with --http-config\n"
    )
    outcome = command(*lanes, "--http-config", wrong(folder, "tls_config", server_name=None))
    assert "mismatch, certificate is not valid for '127.0.0.1'" in outcome.err
    outcome = command(*lanes, "--http-config", wrong(folder, "basic_auth", password=None))
    assert outcome.err == (
        f"shmetrics: {secured.url}/api/v1/lanes: 401: user and password, please; give a user "
        "and a password with --http-config\n"
    )
    outcome = command(
        *lanes, "--http-config", wrong(folder, "tls_config", cert_file=None, key_file=None)
    )
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1


def test_check_reads_the_web_configuration_too(command: Any, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "shmetrics.toml"
    web = folder / "web.yml"
    config.write_text(
        f'listen = "127.0.0.1:0"\nruntime_dir = "{tmp_path}/none"\nweb_config = "{web}"\n'
    )
    outcome = command("check", "--config", str(config))
    assert outcome.status == 0
    assert f"ok     {web}: TLS, client certificates, passwords\n" in outcome.out
    os.chmod(folder / "server.key", 0o644)
    outcome = command("check", "--config", str(config))
    assert outcome.status == 1
    key = folder / "server.key"
    assert f"WRONG  {key}: all users of this node have access; chmod o= {key}\n" in outcome.out
    contents = yaml.safe_load(web.read_text())
    write(web, {**contents, "basic_auth_user": {}})
    outcome = command("check", "--config", str(config))
    assert outcome.status == 2
    assert outcome.err == (
        f"shmetrics: {web}: basic_auth_user: no such option; did you mean basic_auth_users?\n"
    )


def test_who_listens_to_the_network_without_a_password_is_warned(
    runtime_dir: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    config = tmp_path / "shmetrics.toml"
    config.write_text('listen = "0.0.0.0:0"\n')
    collector = Collector(runtime_dir, log, ["--config", str(config)], listen="")
    try:
        warning, ready = log.read_text().splitlines()
        assert warning.startswith("shmetrics: WARNING: 0.0.0.0:")
        assert ": whoever reaches this node can read all of its metrics; name a " in warning
        port = collector.url.rpartition(":")[2]
        assert ready == (
            f"shmetrics collector is ready: http://127.0.0.1:{port} "
            f"(every interface, port {port}; no TLS, no passwords)"
        )
    finally:
        assert collector.stop() == 0

# SPDX-License-Identifier: Apache-2.0
"""Access rules in front of the application: passwords, rates, headers, a file that changes."""

import asyncio
import base64
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from shmetrics.config import Web
from shmetrics.config.address import Address
from shmetrics.config.web_file import WebFile
from shmetrics.errors import ConfigError
from shmetrics.http import exposure, refusals
from shmetrics.http.access_rules import AccessRules, Rules
from shmetrics.http.auth import Auth
from shmetrics.http.passwords import Passwords
from tests.http.authority import PASSWORD, TLS, Authority, hashed, put, write
from tests.http.raw import soon, tell

LOOPBACK = Address("127.0.0.1", 0)
HASH = hashed()
Start = Callable[..., Any]


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.yml"


@pytest.fixture
def start(run: Any, source: Any, path: Path) -> Start:
    """Give ``start(**contents)``, which runs a server with this web configuration file."""

    def start(**contents: Any) -> Any:
        return run(source, LOOPBACK, Web(), str(write(path, contents)))

    return start


# ---- passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/lanes"])
def test_nothing_is_answered_without_the_password(start: Start, source: Any, where: str) -> None:
    site = start(basic_auth_users={"alice": HASH})
    answer = site.ask(where)
    assert (answer.status, answer.text) == (401, "401 user and password, please\n")
    assert answer.headers["www-authenticate"] == 'Basic realm="shmetrics", charset="UTF-8"'
    assert site.ask(where, authorization=basic("alice", PASSWORD)).status == 200
    assert source.refusals == {refusals.PASSWORD: 1}
    assert source.renderings <= 1


@pytest.mark.parametrize(
    "header",
    [
        basic("alice", "wrong"),
        basic("bob", PASSWORD),
        basic("", ""),
        basic("alice", PASSWORD).replace("Basic", "Bearer"),
        "Basic",
        "Basic !!!",
        "Basic " + base64.b64encode(b"alice").decode(),
        basic("alice", PASSWORD) + " " + basic("alice", PASSWORD),
    ],
)
def test_what_is_not_the_password_is_refused(start: Start, header: str) -> None:
    site = start(basic_auth_users={"alice": HASH})
    assert site.ask("/metrics", authorization=header).status == 401


def test_a_name_in_any_script(start: Start) -> None:
    site = start(basic_auth_users={"Алиса": HASH})
    assert site.ask("/metrics", authorization=basic("Алиса", PASSWORD)).status == 200


def test_users_come_and_go_without_a_restart(start: Start, source: Any, path: Path) -> None:
    site = start(basic_auth_users={"alice": HASH})
    assert site.ask("/metrics", authorization=basic("alice", PASSWORD)).status == 200
    write(path, {"basic_auth_users": {"robert": HASH}})
    soon(lambda: source.reloads)
    assert site.ask("/metrics", authorization=basic("alice", PASSWORD)).status == 401
    assert site.ask("/metrics", authorization=basic("robert", PASSWORD)).status == 200
    assert source.reloads == ["taken"]


@pytest.mark.parametrize("change", ["broken", "gone"])
def test_a_broken_file_leaves_what_was_in_force_and_is_logged_once(
    start: Start, source: Any, path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = start(basic_auth_users={"alice": HASH})
    if change == "broken":
        put(path, "basic_auth_users: {alice: secret}")
    else:
        path.unlink()
    soon(lambda: source.reloads)
    for _ in range(3):
        assert site.ask("/metrics").status == 401
        assert site.ask("/metrics", authorization=basic("alice", PASSWORD)).status == 200
    assert source.reloads == ["refused"]
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert error.startswith(f"{path}: ")
    assert error.endswith("; what was in force before stays so")
    write(path, {"basic_auth_users": {"bob": HASH}})
    soon(lambda: source.reloads == ["refused", "taken"])
    assert site.ask("/metrics", authorization=basic("bob", PASSWORD)).status == 200


def test_a_file_put_in_its_place_is_noticed(start: Start, source: Any, path: Path) -> None:
    site = start(basic_auth_users={"alice": HASH})
    before = path.stat()
    new = write(path.with_name("new.yml"), {"basic_auth_users": {"roger": HASH}})
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(path)
    assert path.stat().st_size == before.st_size
    soon(lambda: source.reloads == ["taken"])
    assert site.ask("/metrics", authorization=basic("roger", PASSWORD)).status == 200


def test_a_bad_file_at_the_start_is_an_error(path: Path) -> None:
    path.write_text("basic_auth_users: {alice: secret}")
    with pytest.raises(ConfigError, match=f"^{path}: basic_auth_users.alice: "):
        AccessRules(str(path))


# ---- headers and rates ---------------------------------------------------------------------------


def test_headers_are_added_to_every_answer(start: Start) -> None:
    site = start(
        http_server_config={
            "headers": {
                "Strict-Transport-Security": "max-age=9",
                "X-Frame-Options": "deny",
                "X-Content-Type-Options": "nosniff",
                "X-XSS-Protection": "",
                "Content-Security-Policy": "frame-ancestors 'self'",
            }
        },
        basic_auth_users={"alice": HASH},
    )
    for authorization in ("", basic("alice", PASSWORD)):
        headers = site.ask("/", authorization=authorization).headers
        assert headers["strict-transport-security"] == "max-age=9"
        assert headers["x-frame-options"] == "deny"
        assert headers.get("x-content-type-options") == "nosniff"
        assert "x-xss-protection" not in headers


@pytest.mark.parametrize(
    ("password", "users", "status"),
    [
        ("old", {b"bob": b"other"}, 401),  # alice is removed
        ("old", {b"alice": b"new"}, 401),
        ("new", {b"alice": b"new"}, 200),
        ("old", {b"alice": b"old"}, 200),  # somebody else is
        ("new", {b"alice": b"old"}, 401),
        ("old", {}, 200),
        ("new", {}, 200),
    ],
)
def test_who_may_come_in_say_the_rules_in_force_when_his_password_is_known(
    source: Any, password: str, users: dict[bytes, bytes], status: int
) -> None:
    """Check a file that changes while a password is being checked."""
    access = AccessRules()
    access.rules = Rules(WebFile("", users={b"alice": b"old", b"bob": b"other"}), None)

    def check(password: bytes, hash_: bytes) -> bool:
        access.rules = Rules(WebFile("", users=users), None)
        return password == hash_

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("welcome")(scope, receive, send)

    async def ask() -> int:
        said: list[Any] = []

        async def send(message: Any) -> None:
            said.append(message)

        headers = [(b"authorization", basic("alice", password).encode())]
        scope = {"type": "http", "headers": headers, "client": ("127.0.0.1", 1)}
        await Auth(app, access, Passwords(check), source)(scope, None, send)
        status = said[0]["status"]
        assert isinstance(status, int)
        return status

    assert asyncio.run(ask()) == status


def test_of_two_policies_both_hold(start: Start) -> None:
    policy = "frame-ancestors 'self'"
    site = start(http_server_config={"headers": {"Content-Security-Policy": policy}})

    raw = tell(site.server.url, b"GET / HTTP/1.0\r\nhost: x\r\n\r\n").decode()
    policies = [line for line in raw.splitlines() if line.lower().startswith("content-security-p")]
    assert len(policies) == 2
    assert policies[1].endswith(policy)


def test_a_rate_limit_lets_the_burst_in_and_no_more(start: Start, source: Any) -> None:
    site = start(rate_limit={"interval": "1h", "burst": 3})
    statuses = [site.ask("/-/ready").status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    assert source.refusals == {refusals.RATE: 2}


# ---- who can reach it ----------------------------------------------------------------------------


def rules(**parts: Any) -> Rules:
    return Rules(WebFile("web.yml", **parts), None)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "this node only; no TLS, no passwords"),
        ("::1", "this node only; no TLS, no passwords"),
        ("0.0.0.0", "every interface, port 9; no TLS, no passwords"),
        ("::", "every interface, port 9; no TLS, no passwords"),
        ("192.0.2.1", "the network at 192.0.2.1:9; no TLS, no passwords"),
    ],
)
def test_it_says_who_can_reach_it(host: str, text: str) -> None:
    assert exposure.describe(Address(host, 9), rules()) == text
    assert bool(list(exposure.warnings(Address(host, 9), rules()))) is ("this node" not in text)


def test_passwords_in_the_clear_are_warned_of() -> None:
    users = rules(users={b"a": b"b"})
    (warning,) = exposure.warnings(Address("0.0.0.0", 9), users)
    assert warning.startswith("0.0.0.0:9: passwords cross the network for everybody to read; ")
    assert not list(exposure.warnings(Address("127.0.0.1", 9), users))


def test_a_whole_file_is_described(tmp_path: Path) -> None:
    Authority(tmp_path).certify("server")
    tls = {**TLS, "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    contents = {"tls_server_config": tls, "basic_auth_users": {"alice": HASH}}
    access = AccessRules(str(write(tmp_path / "web.yml", contents)))
    said = exposure.describe(Address("0.0.0.0", 9), access.rules)
    assert said == "every interface, port 9; TLS, client certificates, passwords"
    assert not list(exposure.warnings(Address("0.0.0.0", 9), access.rules))


# ---- the clients that people have ----------------------------------------------------------------


@pytest.fixture
def secured(run: Any, source: Any, rpc_tables: Any, tmp_path: Path) -> Any:
    """Run a server with TLS, client certificates and a password of a real cost."""
    source.the_tables = rpc_tables
    authority = Authority(tmp_path)
    authority.certify("server")
    authority.certify("client", "prometheus.example")
    contents = {
        "tls_server_config": {
            **TLS,
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": "ca.crt",
            "client_allowed_sans": ["prometheus.example"],
        },
        "basic_auth_users": {"alice": hashed(cost=10)},
    }
    return run(source, LOOPBACK, Web(), str(write(tmp_path / "web.yml", contents)))


def test_prometheus_comes_in(secured: Any, source: Any, prometheus: Any, tmp_path: Path) -> None:
    scrape = {
        "basic_auth": {"username": "alice", "password": PASSWORD},
        "tls_config": {
            "ca_file": str(tmp_path / "ca.crt"),
            "cert_file": str(tmp_path / "client.crt"),
            "key_file": str(tmp_path / "client.key"),
        },
    }
    there = prometheus(secured.server.url, scrape=scrape)
    there.wait_for(
        "oslo_messaging_rpc_client_invocation_start_total", lambda found: len(found) == 3
    )
    there.wait_for("sum_over_time(up[1m])", lambda found: found and found[0][1] >= 3)
    assert not source.refusals


def test_prometheus_without_the_password_does_not(
    secured: Any, source: Any, prometheus: Any, tmp_path: Path
) -> None:
    tls_config = {
        "ca_file": str(tmp_path / "ca.crt"),
        "cert_file": str(tmp_path / "client.crt"),
        "key_file": str(tmp_path / "client.key"),
    }
    there = prometheus(secured.server.url, scrape={"tls_config": tls_config})
    soon(lambda: source.refusals[refusals.PASSWORD])
    there.wait_for("up", lambda found: found and found[0][1] == 0)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_comes_in(secured: Any, tmp_path: Path) -> None:
    command = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*"]
    command += ["--cacert", "ca.crt", "--cert", "client.crt", "--key", "client.key"]

    def curl(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more, f"{secured.server.url}/metrics"],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    done = curl("--user", f"alice:{PASSWORD}")
    assert done.returncode == 0, done.stderr
    assert "oslo_messaging_rpc_client_invocation_start_total" in done.stdout
    done = curl("--user", f"alice:{PASSWORD}", "--http2", "--compressed")
    assert "oslo_messaging_rpc_client_invocation_start_total" in done.stdout
    assert "401" in curl("--user", "alice:wrong").stderr
    assert "401" in curl().stderr


def test_of_two_passwords_none_counts(start: Start) -> None:
    site = start(basic_auth_users={"alice": HASH})
    header = f"authorization: {basic('alice', PASSWORD)}\r\n".encode()
    asks = b"GET /-/ready HTTP/1.0\r\nhost: x\r\n"
    assert tell(site.server.url, asks + header + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert tell(site.server.url, asks + header + header + b"\r\n").startswith(b"HTTP/1.1 401 ")

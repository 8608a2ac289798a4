# SPDX-License-Identifier: Apache-2.0
"""A client meets the TLS that tls_server_config asks for; settings that cannot be had fail."""

import http.client
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmetrics.config import Web, web_file
from shmetrics.config.address import Address
from shmetrics.errors import ConfigError
from shmetrics.http import refusals, tls
from tests.http.authority import TLS, Authority, write
from tests.http.raw import address_of, connected, many, said, soon

LOOPBACK = Address("127.0.0.1", 0)
Start = Callable[..., Any]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.certify("server")
    return authority


@pytest.fixture
def start(run: Any, source: Any, authority: Authority) -> Start:
    """Give ``start(limits, **tls)``, which runs a server with this tls_server_config."""

    def start(limits: Web = Web(), **more: Any) -> Any:  # noqa: B008
        path = write(authority.folder / "web.yml", {"tls_server_config": {**TLS, **more}})
        return run(source, LOOPBACK, limits, str(path))

    return start


def client(authority: Authority, name: str = "") -> ssl.SSLContext:
    """Make a client that trusts the authority, with the certificate of a name if one is given."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if name:
        context.load_cert_chain(authority.folder / f"{name}.crt", authority.folder / f"{name}.key")
    return context


def ask(url: str, context: ssl.SSLContext, path: str = "/metrics") -> int:
    connection = http.client.HTTPSConnection(*address_of(url), context=context, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def is_refused(url: str, context: ssl.SSLContext) -> bool:
    """Tell whether there is no answer. In TLS 1.3 a client learns it only when it reads."""
    try:
        ask(url, context)
    except (OSError, http.client.HTTPException):
        return True
    return False


# ---- what a client meets -------------------------------------------------------------------------


def test_a_client_that_knows_the_authority_is_answered(
    start: Start, source: Any, authority: Authority
) -> None:
    url = start().server.url
    assert url.startswith("https://127.0.0.1:")
    assert ask(url, client(authority)) == 200
    assert is_refused(url, ssl.create_default_context())
    soon(lambda: source.refusals == {refusals.TLS: 1})


def test_who_does_not_speak_tls_gets_nothing(start: Start, source: Any) -> None:
    running = start()
    with connected(running.server.url) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in said(plain)
    soon(lambda: source.refusals == {refusals.TLS: 1})


def test_certificate_and_key_may_stand_in_the_file(
    run: Any, source: Any, authority: Authority
) -> None:
    inline = {
        "cert": (authority.folder / "server.crt").read_text(),
        "key": (authority.folder / "server.key").read_text(),
        "client_ca": authority.file.read_text(),
        "client_auth_type": "RequireAndVerifyClientCert",
    }
    authority.certify("client", "client.example")
    path = write(authority.folder / "web.yml", {"tls_server_config": inline})
    url = run(source, LOOPBACK, Web(), str(path)).server.url
    assert ask(url, client(authority, "client")) == 200
    assert is_refused(url, client(authority))


@pytest.mark.parametrize(
    ("kind", "without", "foreign"),
    [
        ("NoClientCert", True, True),
        ("VerifyClientCertIfGiven", True, False),
        ("RequireAndVerifyClientCert", False, False),
    ],
)
def test_client_certificates(
    start: Start, authority: Authority, tmp_path: Path, kind: str, without: bool, foreign: bool
) -> None:
    more = {} if kind == "NoClientCert" else {"client_ca_file": "ca.crt"}
    url = start(client_auth_type=kind, **more).server.url
    authority.certify("ours", "client.example")
    (tmp_path / "other").mkdir()
    cert, key = Authority(tmp_path / "other").certify("theirs", "client.example")
    assert ask(url, client(authority, "ours")) == 200
    assert is_refused(url, client(authority)) is not without
    stranger = client(authority)
    stranger.load_cert_chain(cert, key)
    assert is_refused(url, stranger) is not foreign


@pytest.mark.parametrize("name", ["prometheus.example", "10.1.2.3", "2001:db8::1", "me@x.example"])
def test_a_client_certificate_has_to_be_for_an_allowed_name(
    start: Start, source: Any, authority: Authority, name: str
) -> None:
    running = start(
        client_auth_type="RequireAndVerifyClientCert",
        client_ca_file="ca.crt",
        client_allowed_sans=[name],
    )
    authority.certify("right", "other.example", name)
    authority.certify("wrong", "other.example")
    assert ask(running.server.url, client(authority, "right")) == 200
    assert is_refused(running.server.url, client(authority, "wrong"))
    soon(lambda: source.refusals == {refusals.CLIENT_NAME: 1})


@pytest.mark.parametrize(
    ("wanted", "version", "answered"),
    [
        ({}, ssl.TLSVersion.TLSv1_2, True),
        ({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_2, False),
        ({"min_version": "TLS13"}, ssl.TLSVersion.TLSv1_3, True),
        ({"max_version": "TLS12"}, ssl.TLSVersion.TLSv1_3, False),
    ],
)
def test_versions(
    start: Start, authority: Authority, wanted: Any, version: ssl.TLSVersion, answered: bool
) -> None:
    url = start(**wanted).server.url
    context = client(authority)
    context.minimum_version = context.maximum_version = version
    assert is_refused(url, context) is not answered


def negotiated(url: str, context: ssl.SSLContext) -> tuple[str, str | None]:
    """Return the cipher suite, and the protocol that ALPN chose."""
    with (
        connected(url) as sock,
        context.wrap_socket(sock, server_hostname="127.0.0.1") as secure,
    ):
        cipher = secure.cipher()
        assert cipher is not None
        return cipher[0], secure.selected_alpn_protocol()


@pytest.mark.parametrize(("prefer", "first"), [(True, "AES256"), (False, "AES128")])
def test_suites_and_who_prefers(
    start: Start, authority: Authority, prefer: bool, first: str
) -> None:
    curve = "ECDSA" if b"EC " in (authority.folder / "server.key").read_bytes() else "RSA"
    names = [f"TLS_ECDHE_{curve}_WITH_AES_{n}" for n in ("256_GCM_SHA384", "128_GCM_SHA256")]
    url = start(cipher_suites=names, prefer_server_cipher_suites=prefer).server.url
    context = client(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"ECDHE-{curve}-AES128-GCM-SHA256:ECDHE-{curve}-AES256-GCM-SHA384")
    assert first in negotiated(url, context)[0]
    context.set_ciphers(f"ECDHE-{curve}-CHACHA20-POLY1305")
    assert is_refused(url, context)


def test_http_1_1_is_what_is_offered(start: Start, authority: Authority) -> None:
    context = client(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert negotiated(start().server.url, context)[1] == "http/1.1"


def test_one_curve_is_the_only_one(start: Start, authority: Authority) -> None:
    url = start(curve_preferences=["CurveP384"]).server.url
    context = client(authority)
    context.set_ecdh_curve("secp384r1")
    assert ask(url, context) == 200
    context = client(authority)
    context.set_ecdh_curve("prime256v1")
    assert is_refused(url, context)


# ---- who holds it up -----------------------------------------------------------------------------


@pytest.mark.parametrize("say", [b"", b"\x16\x03\x01"])
def test_a_handshake_that_does_not_end_is_ended(start: Start, source: Any, say: bytes) -> None:
    running = start(Web(request_seconds=0.3))
    with connected(running.server.url) as slow:
        slow.sendall(say)
        assert said(slow) == b""
    soon(lambda: source.refusals == {refusals.SLOW_REQUEST: 1})


def test_unfinished_handshakes_give_way_to_a_scrape(
    start: Start, source: Any, authority: Authority
) -> None:
    running = start(Web(max_connections=20))
    with many(running.server.url, 300, b"\x16\x03"):
        assert ask(running.server.url, client(authority)) == 200
        assert running.server.connections <= 20


def test_clients_that_never_read_give_way_to_a_scrape(
    start: Start, source: Any, authority: Authority
) -> None:
    from tests.http.test_limits import big

    source.the_tables = big(4_000_000)
    running = start(Web(max_connections=10))
    context = client(authority)
    stuck = []
    for _ in range(30):
        sock = context.wrap_socket(
            socket.create_connection(address_of(running.server.url)), server_hostname="127.0.0.1"
        )
        sock.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        stuck.append(sock)
    try:
        assert ask(running.server.url, context) == 200
    finally:
        for sock in stuck:
            sock.close()


# ---- a file that changes -------------------------------------------------------------------------


def served(url: str) -> bytes:
    """Return the certificate of the server."""
    return ssl.get_server_certificate(address_of(url)).encode()


def test_a_new_certificate_is_taken_without_a_restart(
    start: Start, source: Any, authority: Authority
) -> None:
    url = start().server.url
    before = served(url)
    old = http.client.HTTPSConnection(*address_of(url), context=client(authority), timeout=30)
    try:
        old.request("GET", "/-/ready")
        assert old.getresponse().read()
        authority.certify("server")
        soon(lambda: source.reloads[-1:] == ["taken"])
        assert served(url) != before
        old.request("GET", "/-/ready")  # who came in before may finish, and has to come anew
        answer = old.getresponse()
        assert answer.getheader("connection") == "close"
    finally:
        old.close()
    assert ask(url, client(authority)) == 200


def test_a_key_that_does_not_fit_leaves_the_old_pair(
    start: Start, source: Any, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    url = start().server.url
    before = served(url)
    _, key = authority.certify("other")
    key.replace(authority.folder / "server.key")
    soon(lambda: source.reloads == ["refused"])
    for _ in range(3):
        assert served(url) == before
    (error,) = [record.getMessage() for record in caplog.records]
    assert error == (
        f"{authority.folder}/web.yml: tls_server_config.key_file: this is not the key of the "
        "certificate; what was in force before stays so"
    )


def test_a_running_server_does_not_lose_its_tls(
    start: Start, source: Any, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    url = start().server.url
    write(authority.folder / "web.yml", {})
    soon(lambda: source.reloads == ["refused"])
    assert ask(url, client(authority)) == 200
    assert "TLS begins and ends with a restart" in caplog.text


# ---- what is refused -----------------------------------------------------------------------------


def problem(authority: Authority, **more: Any) -> str:
    path = write(authority.folder / "web.yml", {"tls_server_config": {**TLS, **more}})
    with pytest.raises(ConfigError) as caught:
        tls.context_of(web_file.read(str(path)))
    message = str(caught.value)
    assert message.startswith(f"{path}: tls_server_config.")
    assert "\n" not in message
    return message.removeprefix(f"{path}: tls_server_config.")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"cert_file": ""}, "cert_file: missing; without it there is no TLS"),
        ({"key_file": ""}, "key_file: missing; without it there is no TLS"),
        ({"cert_file": "/no/such"}, "cert_file: /no/such: No such file or directory"),
        ({"key_file": "web.yml"}, "cert_file, key_file: no certificate and key in PEM"),
        ({"key_file": "ca.crt"}, "cert_file, key_file: no certificate and key in PEM"),
        ({"client_auth_type": "RequestClientCert"},
         "client_auth_type: RequestClientCert would not verify anything, and is not "),
        ({"client_auth_type": "RequireAnyClientCert"},
         "client_auth_type: RequireAnyClientCert would not verify anything, and is not "),
        ({"client_auth_type": "Yes"}, "client_auth_type: 'Yes' is not supported; there are "),
        ({"client_auth_type": "RequireAndVerifyClientCert"},
         "client_ca_file: missing; RequireAndVerifyClientCert has to know who may sign"),
        ({"client_ca_file": "ca.crt"},
         "client_auth_type: missing; with client_ca: RequireAndVerifyClientCert"),
        ({"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "web.yml"},
         "client_ca_file: no certificates in PEM"),
        ({"client_auth_type": "VerifyClientCertIfGiven", "client_ca_file": "ca.crt",
          "client_allowed_sans": ["x"]},
         "client_allowed_sans: only with client_auth_type: RequireAndVerifyClientCert"),
        ({"client_allowed_sans": ["x"]}, "client_allowed_sans: only with client_auth_type"),
        ({"min_version": "TLS10"}, "min_version: 'TLS10' is not supported; there are TLS12, TLS13"),
        ({"max_version": "TLS11"}, "max_version: 'TLS11' is not supported; there are TLS12, TLS13"),
        ({"min_version": "TLS13", "max_version": "TLS12"},
         "min_version: TLS13 is above max_version TLS12"),
        ({"cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]},
         "cipher_suites: 'TLS_RSA_WITH_RC4_128_SHA' is not supported; there are "),
        ({"cipher_suites": ["TLS_AES_128_GCM_SHA256"]},
         "cipher_suites: TLS 1.3 has all of its suites; leave TLS_AES_128_GCM_SHA256 out, or "),
        ({"cipher_suites": sorted(tls._SUITES_13)},
         "cipher_suites: none of these is for TLS 1.2; set min_version: TLS13"),
        ({"curve_preferences": ["X25519", "CurveP256"]},
         "curve_preferences: only one curve can be set here; name one, or none"),
        ({"curve_preferences": ["P-1"]}, "curve_preferences: 'P-1' is not supported; there are "),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_named(authority: Authority, more: Any, message: str) -> None:
    assert problem(authority, **more).startswith(message)


def test_a_key_with_a_passphrase(authority: Authority) -> None:
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", "server.key"]
    command += ["-out", "locked.key"]
    subprocess.run(command, cwd=authority.folder, check=True, capture_output=True)
    assert problem(authority, key_file="locked.key") == (
        "key_file: the key has a passphrase; nobody is there to type it"
    )


def test_every_suite_that_can_be_named_is_there() -> None:
    for name in tls._SUITES_12.values():
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(name)
    ours = {cipher["name"] for cipher in ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).get_ciphers()}
    assert ours >= tls._SUITES_13

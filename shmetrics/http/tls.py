# SPDX-License-Identifier: Apache-2.0
"""The TLS settings of a web configuration file, as a context of Python's ssl.

The format is that of Go programs. Settings that Python's ssl cannot follow are refused, and the
error names the nearest that it can: certificates that nobody verifies, more than one curve, a
choice among the suites of TLS 1.3.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import ssl
from collections.abc import Collection, Iterator
from typing import Any

from shmetrics import plain_file
from shmetrics.config.web_file import TLS, WebFile
from shmetrics.errors import ConfigError

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_AUTH_TYPES = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_SUITES_13 = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
}
_SUITES_12 = {
    f"TLS_ECDHE_{by}_WITH_{name}": f"ECDHE-{by}-{ours}"
    for by in ("ECDSA", "RSA")
    for name, ours in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_SUITES_12 |= {  # their older names
    f"TLS_ECDHE_{by}_WITH_CHACHA20_POLY1305": f"ECDHE-{by}-CHACHA20-POLY1305"
    for by in ("ECDSA", "RSA")
}


def context_of(file: WebFile) -> ssl.SSLContext | None:
    """Make the context for new connections; None if the file asks for no TLS.

    Raises:
        ConfigError: One line: the file, the key, what is wrong with it, and how to mend it.
    """
    if file.tls is None:
        return None
    try:
        return _context(file, file.tls)
    except ValueError as error:
        raise ConfigError(f"{file.path}: tls_server_config.{error}") from None


def _context(file: WebFile, tls: TLS) -> ssl.SSLContext:
    """Make the context.

    Raises:
        ValueError: The key, and what is wrong with it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.minimum_version = _named("min_version", tls.min_version, _VERSIONS)
    context.maximum_version = _named("max_version", tls.max_version, _VERSIONS)
    if context.minimum_version > context.maximum_version:
        raise ValueError(f"min_version: {tls.min_version} is above max_version {tls.max_version}")
    _set_suites(context, tls)
    if len(tls.curve_preferences) > 1:
        raise ValueError("curve_preferences: only one curve can be set here; name one, or none")
    for curve in tls.curve_preferences:
        name = _named("curve_preferences", curve, _CURVES)
        try:
            context.set_ecdh_curve(name)
        except ValueError:
            raise ValueError(f"curve_preferences: this OpenSSL has no {curve}") from None
    _load_certificate(context, file, tls)
    _ask_clients(context, file, tls)
    return context


def _named(key: str, value: str, table: dict[str, Any]) -> Any:
    if value not in table:
        raise ValueError(f"{key}: {value!r} is not supported; there are {', '.join(table)}")
    return table[value]


def _set_suites(context: ssl.SSLContext, tls: TLS) -> None:
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not tls.cipher_suites:
        return
    of_13 = _SUITES_13.intersection(tls.cipher_suites)
    of_12 = [name for name in tls.cipher_suites if name not in of_13]
    if of_13 and of_13 != _SUITES_13:
        raise ValueError(
            "cipher_suites: TLS 1.3 has all of its suites; leave "
            f"{', '.join(sorted(of_13))} out, or set max_version: TLS12"
        )
    if not of_12:
        raise ValueError("cipher_suites: none of these is for TLS 1.2; set min_version: TLS13")
    context.set_ciphers(":".join(_named("cipher_suites", name, _SUITES_12) for name in of_12))


def _load_certificate(context: ssl.SSLContext, file: WebFile, tls: TLS) -> None:
    for key in ("cert", "key"):
        if not getattr(tls, key) and not getattr(tls, f"{key}_file"):
            raise ValueError(f"{key}_file: missing; without it there is no TLS")

    def locked() -> str:
        raise ValueError("key_file: the key has a passphrase; nobody is there to type it")

    with (
        _in_memory(_bytes(file, "cert", tls)) as cert_path,
        _in_memory(_bytes(file, "key", tls)) as key_path,
    ):
        try:
            context.load_cert_chain(cert_path, key_path, locked)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError("key_file: this is not the key of the certificate") from None
            raise ValueError(
                f"cert_file, key_file: no certificate and key in PEM, or too weak ({error.reason})"
            ) from None


def _ask_clients(context: ssl.SSLContext, file: WebFile, tls: TLS) -> None:
    kind = tls.client_auth_type
    if kind in _UNVERIFIED:
        raise ValueError(
            f"client_auth_type: {kind} would not verify anything, and is not supported; take "
            "RequireAndVerifyClientCert or VerifyClientCertIfGiven"
        )
    mode = _named("client_auth_type", kind, _AUTH_TYPES)
    authorities = _bytes(file, "client_ca", tls)
    if mode == ssl.CERT_NONE and authorities:
        raise ValueError("client_auth_type: missing; with client_ca: RequireAndVerifyClientCert")
    if mode != ssl.CERT_NONE and not authorities:
        raise ValueError(f"client_ca_file: missing; {kind} has to know who may sign for clients")
    if tls.client_allowed_sans and mode != ssl.CERT_REQUIRED:
        raise ValueError(
            "client_allowed_sans: only with client_auth_type: RequireAndVerifyClientCert"
        )
    if mode != ssl.CERT_NONE:
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        except (ssl.SSLError, UnicodeDecodeError):
            raise ValueError("client_ca_file: no certificates in PEM") from None
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # Go's roots need not be self-signed
    context.verify_mode = mode


def _bytes(file: WebFile, key: str, tls: TLS) -> bytes:
    """Return the value of a key, or the contents of the file that key_file names; else nothing."""
    name = getattr(tls, f"{key}_file")
    if not name:
        return str(getattr(tls, key)).encode()
    path = file.resolve(name)
    try:
        return plain_file.read(path)
    except OSError as error:
        raise ValueError(f"{key}_file: {path}: {error.strerror}") from None


@contextlib.contextmanager
def _in_memory(contents: bytes) -> Iterator[str]:
    """Give a path to these bytes: OpenSSL reads files only, and a key must not go to a disk."""
    fd = os.memfd_create("shmetrics-pem")
    try:
        os.write(fd, contents)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def is_for(certificate: dict[str, Any], names: Collection[str]) -> bool:
    """Return whether a certificate is for one of some names.

    Args:
        certificate: the certificate, as getpeercert() gives it, which means verified.
        names: Subject alternative names: of hosts, addresses, mailboxes or URIs.
    """
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            value = str(ipaddress.ip_address(value.strip()))
        if kind in ("DNS", "IP Address", "email", "URI") and value in names:
            return True
    return False

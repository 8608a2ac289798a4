# SPDX-License-Identifier: Apache-2.0
"""TLS of the connections that we open: to destinations, and to a collector that asks for it.

OpenSSL takes 5 MB of memory: a module that may do without TLS imports this one where it needs it.
"""

from __future__ import annotations

import ssl

from shmetrics import plain_file
from shmetrics.errors import ConfigError


def pem(option: str, path: str) -> bytes | None:
    """Return the contents of a file; None if the option names none.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        return plain_file.read(path) if path else None
    except OSError as error:
        raise ConfigError(f"{option}: {path}: {error.strerror or error}") from None


def client_context(ca_file: str = "", cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """Return the context of a client, which verifies the server and its host name.

    Args:
        ca_file: the certificates of those who may sign for the server; "": the system's.
        cert_file: the client's own certificate; "": none.
        key_file: its key.

    Raises:
        ConfigError: a file cannot be read, or is none in PEM.
    """
    for option, path in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        pem(option, path)  # checked first, because OpenSSL would wait for a pipe
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:
        if not ca_file:
            raise ConfigError(f"the system's certificates: {error.reason or error}") from None
        raise ConfigError(f"ca_file: {ca_file}: no certificate in PEM") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as RFC 9325 wants it, and 9662 for syslog
    if cert_file:
        try:
            context.load_cert_chain(cert_file, key_file, _no_password)
        except ssl.SSLError:
            reason = f"no certificate in PEM, or {key_file} is not its key without a password"
            raise ConfigError(f"cert_file: {cert_file}: {reason}") from None
    return context


def _no_password() -> str:
    """Answer OpenSSL, which would ask at the terminal."""
    return ""

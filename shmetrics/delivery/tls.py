# SPDX-License-Identifier: Apache-2.0
"""TLS for connections to a syslog daemon (RFC 5425).

OpenSSL takes 5 MB of memory: this module is loaded where a destination asks for it.
"""

from __future__ import annotations

import ssl

from shmetrics import plain_file


def tls_context(ca_file: str = "", cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """Return the context of connections to a daemon, whose certificate has to be for its host.

    Raises:
        OSError: a file cannot be read, or is none in PEM; its filename says which.
    """
    for path in filter(None, (ca_file, cert_file, key_file)):
        plain_file.read(path)  # checked first, because OpenSSL would wait for a pipe
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as RFC 9662 wants it
    if cert_file:
        context.load_cert_chain(cert_file, key_file)
    return context

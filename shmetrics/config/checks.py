# SPDX-License-Identifier: Apache-2.0
"""Checks that destinations of several kinds have in common.

Each raises ValueError, in whose message the option comes first.
"""

from __future__ import annotations

from collections.abc import Mapping


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that names and values can be headers of HTTP, and metadata of gRPC."""
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"headers: {name!r} is not the name of a header")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"headers.{name}: a value is printable ASCII")


def check_certificate(cert_file: str, key_file: str) -> None:
    """Check that a certificate comes with its key."""
    if bool(cert_file) != bool(key_file):
        raise ValueError("cert_file: takes a key_file, and the other way round")

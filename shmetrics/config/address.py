# SPDX-License-Identifier: Apache-2.0
"""Addresses of the form HOST:PORT."""

from __future__ import annotations

from typing import NamedTuple

MAX_PORT = 65535


class Address(NamedTuple):
    """An address to listen on. The host "" is every interface, port 0 is any free port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str) -> Address:
    """Return the address in a text like `127.0.0.1:9464`, `[::1]:9464`, `localhost:0` or `:9464`.

    Raises:
        ValueError: the text is not an address; the message says what is wrong.
    """
    host, colon, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (digits.isascii() and digits.isdigit()) or int(digits) > MAX_PORT:
        raise ValueError(f"{text!r} is not HOST:PORT with a port from 0 to {MAX_PORT}")
    if ":" in host and not bracketed:
        raise ValueError(f"{text!r} is not HOST:PORT; an IPv6 address needs brackets, [::1]:9464")
    return Address(host[1:-1] if bracketed else host, int(digits))

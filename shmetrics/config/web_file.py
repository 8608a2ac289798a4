# SPDX-License-Identifier: Apache-2.0
"""The web configuration file, in the format that Prometheus's exporters share.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md.
No key is ignored: an unknown or unsupported one is refused, with a hint, so that no operator
believes in a protection that is not there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from msgspec import field

from shmetrics.config import yaml_file
from shmetrics.config.section import Section
from shmetrics.errors import ConfigError

# A salt has 16 bytes, so its last character holds only two bits.
_BCRYPT = re.compile(
    r"\$2[aby]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_VALUE = re.compile(r"[\x20-\x7e]*")

_USERS = "basic_auth_users"

# The headers that may be added, and their allowed values if these are limited.
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


class TLS(Section, frozen=True, kw_only=True):
    """The table tls_server_config; shmetrics/http/tls.py applies it."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = ""
    client_allowed_sans: list[str] = field(default_factory=list)
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: list[str] = field(default_factory=list)
    prefer_server_cipher_suites: bool = True
    curve_preferences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("cert", "key", "client_ca"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise ValueError(f"{name}: {name}_file is given too; keep one of them")


class HTTP(Section, frozen=True, kw_only=True):
    """The table http_server_config.

    http2 is accepted and has no effect: the server speaks HTTP/1.1, which every client does too.
    """

    http2: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if name not in _HEADERS:
                raise ValueError(f"headers.{name}: cannot be set; there are {', '.join(_HEADERS)}")
            allowed = _HEADERS[name]
            if value and allowed and value not in allowed:
                raise ValueError(f"headers.{name}: {value!r} is not {' or '.join(allowed)}")
            if not _VALUE.fullmatch(value):
                raise ValueError(f"headers.{name}: {value!r} is not plain text on one line")


class RateLimit(Section, frozen=True, kw_only=True):
    """The table rate_limit: a token bucket of `burst` requests, with one more per `interval`.

    The interval "0" switches it off.
    """

    interval: str = "0"
    burst: int = 0

    def __post_init__(self) -> None:
        if self.interval_seconds and self.burst < 1:
            raise ValueError(f"burst: {self.burst} lets no request in; use 1 or more")

    @property
    def interval_seconds(self) -> float:
        """Return the interval in seconds. It is written as in Go: 1s, 1m30s, 500ms.

        Raises:
            ValueError: it is not a duration.
        """
        if self.interval == "0":
            return 0.0
        parts = _DURATION.findall(self.interval)
        if not parts or "".join(map("".join, parts)) != self.interval:
            raise ValueError(f"interval: {self.interval!r} is not a duration, such as 1s or 500ms")
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class _Contents(Section, frozen=True, kw_only=True):
    """The contents of the file."""

    tls_server_config: TLS = field(default_factory=TLS)
    http_server_config: HTTP = field(default_factory=HTTP)
    basic_auth_users: dict[str, str] = field(default_factory=dict)
    rate_limit: RateLimit = field(default_factory=RateLimit)


_NOTHING: Mapping[Any, Any] = MappingProxyType({})

# Keys without which there is no TLS at all; a file that loses one is refused for that.
_NEEDED = {"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"}


class WebFile(NamedTuple):
    """A web configuration file that was read.

    Attributes:
        path: its path.
        tls: its TLS; None: no TLS.
        http: the table http_server_config.
        users: bcrypt hashes by user.
        rate: the limit of requests.
        said: its keys and values as they were written.
        text: the bytes of the file.
    """

    path: str
    tls: TLS | None = None
    http: HTTP = HTTP()
    users: Mapping[bytes, bytes] = _NOTHING
    rate: RateLimit = RateLimit()
    said: Mapping[str, Any] = _NOTHING
    text: bytes = b""

    def resolve(self, name: str) -> str:
        """Return the path of a file that this one names; a relative one is beside this file."""
        return os.path.join(os.path.dirname(self.path), name)

    def files(self) -> list[str]:
        """Return the paths of this file and of all files that it names."""
        tls = self.tls
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
        return [self.path, *(self.resolve(name) for name in named if name)]

    def lacks(self, before: WebFile) -> str:
        """Return a key of *before* that is missing here, and what to do; "" if none is missing.

        A file that is half written, or that a full disk has cut short, can be valid YAML. So a
        protection ends only if the file says so, and not if its key is just missing. Fewer users
        do not protect less, so a missing user is accepted.
        """
        if self._ends_within_a_line_of(before):
            return "this ends within a line; write all of it"
        for key in before._in_force():
            if not self._says(key):
                off = "basic_auth_users: {}" if before.users and key[0] == _USERS else "so"
                return f"{'.'.join(key)}: was in force and is missing; if it is to end, say {off}"
        return ""

    def _ends_within_a_line_of(self, before: WebFile) -> bool:
        at = len(self.text)
        rest = before.text[at : at + 1] if before.text.startswith(self.text) else b""
        return bool(rest) and rest not in b"\r\n" and not self.text.endswith(b"\n")

    def _in_force(self) -> Iterator[tuple[str, ...]]:
        """Yield every key whose value differs from its default."""
        if self.users:
            yield (_USERS,)
        for name, section in (
            ("tls_server_config", self.tls or TLS()),
            ("http_server_config", self.http),
            ("rate_limit", self.rate),
        ):
            for key in set(section.__struct_fields__) - _NEEDED:
                value = getattr(section, key)
                if isinstance(value, dict):
                    yield from ((name, key, inner) for inner, text in value.items() if text)
                elif value != getattr(type(section)(), key):
                    yield name, key

    def _says(self, key: tuple[str, ...]) -> bool:
        """Return whether the file has a key. An empty mapping has all keys: it turns them off."""
        at = self.said
        for part in key:
            if not at:
                return True
            if part not in at:
                return False
            at = at[part]
        return True


def read(path: str) -> WebFile:
    """Read a web configuration file.

    Raises:
        ConfigError: one line with the file, the key, what is wrong, and the mend.
    """
    text = yaml_file.load(path)
    contents, said = yaml_file.decode(text, path, _Contents)
    for user, hash_ in contents.basic_auth_users.items():
        if ":" in user:  # HTTP takes the rest for a part of the password
            raise ConfigError(
                f"{path}: basic_auth_users.{user}: the name of a user cannot have a colon; "
                "rename the user"
            )
        if not _BCRYPT.fullmatch(hash_):
            raise ConfigError(
                f"{path}: basic_auth_users.{user}: this is not a bcrypt hash; make one: "
                f"htpasswd -nBC 10 {user}"
            )
    return WebFile(
        path,
        contents.tls_server_config if said.get("tls_server_config") else None,
        contents.http_server_config,
        {name.encode(): hash_.encode() for name, hash_ in contents.basic_auth_users.items()},
        contents.rate_limit,
        said,
        text,
    )

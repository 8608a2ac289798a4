# SPDX-License-Identifier: Apache-2.0
"""The web configuration file that Prometheus's exporters share: what can stand in it.

The format: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md.
Nothing in it is passed over: what is unknown, or cannot be had here, is refused with what to do,
for nobody is to think himself protected who is not.
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

# A salt has 16 bytes, so that its last character holds two bits only.
_BCRYPT = re.compile(
    r"\$2[aby]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"
)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_VALUE = re.compile(r"[\x20-\x7e]*")

_USERS = "basic_auth_users"

# The headers that may be added, and their values where there are few.
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


class TLS(Section, frozen=True, kw_only=True):
    """tls_server_config; http/tls.py says what becomes of it."""

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
                raise ValueError(f"{name}: there is {name}_file too; keep one of them")


class HTTP(Section, frozen=True, kw_only=True):
    """http_server_config. http2: whether it may be offered; what is here speaks HTTP/1.1, which
    every client does too."""

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
    """rate_limit: a bucket of so many requests, which gets one more per interval. "0" is off."""

    interval: str = "0"
    burst: int = 0

    def __post_init__(self) -> None:
        if self.interval_seconds and self.burst < 1:
            raise ValueError(f"burst: {self.burst} lets nobody in; name 1 or more")

    @property
    def interval_seconds(self) -> float:
        """The interval, which is written as in Go: 1s, 1m30s, 500ms. Raises ValueError."""
        if self.interval == "0":
            return 0.0
        parts = _DURATION.findall(self.interval)
        if not parts or "".join(map("".join, parts)) != self.interval:
            raise ValueError(f"interval: {self.interval!r} is not a duration, such as 1s or 500ms")
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)


class _Contents(Section, frozen=True, kw_only=True):
    """The whole file."""

    tls_server_config: TLS = field(default_factory=TLS)
    http_server_config: HTTP = field(default_factory=HTTP)
    basic_auth_users: dict[str, str] = field(default_factory=dict)
    rate_limit: RateLimit = field(default_factory=RateLimit)


_NOTHING: Mapping[Any, Any] = MappingProxyType({})

# Without one of these there is no TLS at all, and that is refused anyway.
_NEEDED = {"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file"}


class WebFile(NamedTuple):
    """Holds what a web configuration file says. tls: None if it wants no TLS. users: bcrypt hashes
    by name. said: its keys and values as they were written. text: all of the file."""

    path: str
    tls: TLS | None = None
    http: HTTP = HTTP()
    users: Mapping[bytes, bytes] = _NOTHING
    rate: RateLimit = RateLimit()
    said: Mapping[str, Any] = _NOTHING
    text: bytes = b""

    def resolve(self, name: str) -> str:
        """A file that it names: relative ones are beside it."""
        return os.path.join(os.path.dirname(self.path), name)

    def files(self) -> list[str]:
        """Itself, and all that it names."""
        tls = self.tls
        named = (tls.cert_file, tls.key_file, tls.client_ca_file) if tls else ()
        return [self.path, *(self.resolve(name) for name in named if name)]

    def lacks(self, before: WebFile) -> str:
        """Returns which key of `before` is missing here, and what to do about it; "" if none is.

        A file that is half written, or that a full disk cut short, is as good YAML as any other. So
        what protects somebody ends where a file says so, and not where it is missing. Users are
        doors: that there are fewer of them protects no less.
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
        """Every key whose value is not what it would be without it."""
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
        """Whether it stands there; an empty mapping says that nothing is to be in force there."""
        at = self.said
        for part in key:
            if not at:
                return True
            if part not in at:
                return False
            at = at[part]
        return True


def read(path: str) -> WebFile:
    """Reads a file. Raises ConfigError: one line with file, key, what is wrong, and the mend."""
    text = yaml_file.load(path)
    contents, said = yaml_file.decode(text, path, _Contents)
    for user, hash_ in contents.basic_auth_users.items():
        if ":" in user:  # what comes after it would be the password's
            raise ConfigError(f"{path}: basic_auth_users.{user}: no name of a user has a colon")
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

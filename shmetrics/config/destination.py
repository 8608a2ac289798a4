# SPDX-License-Identifier: Apache-2.0
"""The options, and their checks, that destinations of several kinds have in common.

The checks raise ValueError, in whose message the option comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Final, TypeAlias, TypeVar

from msgspec import Meta

from shmetrics.errors import ConfigError

Address = TypeVar("Address")

#: The most destinations of one kind.
MOST_DESTINATIONS: Final = 16
#: The smallest and the largest memory for what waits.
LEAST_WAITING_BYTES, MOST_WAITING_BYTES = 64 * 1024, 1 << 40
#: Facilities of syslog by name (RFC 5424, table 1).
FACILITIES: Final = {
    **dict(zip(("kern", "user", "mail", "daemon", "auth", "syslog"), range(6), strict=True)),
    **{f"local{number}": 16 + number for number in range(8)},
}

CaFile: TypeAlias = Annotated[
    str, Meta(description="Certificate authorities of a destination with TLS. Empty: system's.")
]
CertFile: TypeAlias = Annotated[
    str, Meta(description="Our certificate for TLS, if the destination wants one.")
]
KeyFile: TypeAlias = Annotated[str, Meta(description="The key of that certificate.")]
Facility: TypeAlias = Annotated[
    str, Meta(description="Facility of syslog: user, daemon, local0 to local7, or another.")
]
Headers: TypeAlias = Annotated[
    dict[str, str], Meta(description="Headers of each request, for example a tenant.")
]
TimeoutSeconds: TypeAlias = Annotated[
    float,
    Meta(
        ge=0.1,
        le=60,
        description="Longest time of one attempt, from name look-up to the last byte.",
    ),
]


def parsed(parse: Callable[[str], Address], to: str) -> Address:
    """Return what an address says."""
    try:
        return parse(to)
    except ValueError as error:
        raise ValueError(f"to: {error}") from None


def check_different(addresses: Iterable[str]) -> None:
    """Check that no two destinations have the same address."""
    seen: set[str] = set()
    for at, to in enumerate(addresses):
        if to in seen:
            raise ValueError(
                f"forward[{at}].to: {to!r} is the address of an earlier one; remove one"
            )
        seen.add(to)


def check_facility(facility: str) -> None:
    """Check that syslog has a facility."""
    if facility not in FACILITIES:
        raise ValueError(
            f"facility: {facility!r} is no facility of syslog; there are user, daemon, local0 to "
            "local7 and others"
        )


@contextmanager
def named(to: str) -> Iterator[None]:
    """Let the message of a ConfigError begin with the destination that it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{to}: {error}") from None


def check_headers(headers: Mapping[str, str]) -> None:
    """Check that names and values can be headers of HTTP, and metadata of gRPC."""
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"headers: {name!r} is not the name of a header; letters, digits, - and _ make one"
            )
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"headers.{name}: the value is not printable ASCII")


def check_tls(ca_file: str, cert_file: str, key_file: str, is_tls: bool, to: str) -> None:
    """Check that files of TLS are for a destination with TLS, and a certificate has its key."""
    for option, file in (("ca_file", ca_file), ("cert_file", cert_file), ("key_file", key_file)):
        if file and not is_tls:
            raise ValueError(f"{option}: is for TLS, and {to!r} is without TLS; leave it out")
    if bool(cert_file) != bool(key_file):
        raise ValueError("cert_file: needs key_file beside it; name both or none")

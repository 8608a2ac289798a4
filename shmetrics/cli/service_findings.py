# SPDX-License-Identifier: Apache-2.0
"""The checks of `shmetrics check --service-config`: is what a service sends measured, and once?

Of Nova, the API database is asked for the URLs of its cells, if SQLAlchemy and the driver of that
database are there. No URL is shown: each may have a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import NamedTuple

from shmetrics.cli.columns import printable
from shmetrics.cli.findings import Finding
from shmetrics.config import service_file
from shmetrics.config.service_file import PREFIX, ServiceFile

SWITCH = "SHMETRICS_OSLO_MESSAGING=1"
TEMPLATE = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
BY_HAND = (
    "SELECT name, transport_url FROM cell_mappings in Nova's API database: one that begins with "
    f"{PREFIX} stops nodes without shmetrics, {{scheme}} is as it should be"
)
_DRIVERS = "oslo.messaging.drivers"  # the group of their entry points
_OURS = frozenset({"shmetrics"})
#: A user with a password, and a host with a port, as Nova fills them into a template one by one; or
#: a list of brokers, which it takes as it is.
_WHOLE = re.compile(r"[^:/]+://([^/]*,[^/]*|[^:@/]+:[^@/]+@[^/]*:[\d$][^/]*)(/.*)?")


class Cell(NamedTuple):
    """A cell of Nova, as its API database has it. The URLs may have passwords."""

    name: str
    uuid: str
    transport_url: str
    database_url: str


class Unread(Exception):
    """The database cannot be read; the message says why, without a secret."""


def check(path: str) -> Iterator[Finding]:
    """Check the file of a service.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = service_file.read(path)
    yield _transport(path, file)
    if file.notifications_url and file.is_prefixed and not _is_prefixed(file.notifications_url):
        yield Finding(
            True,
            f"{path}: notifications have a transport_url of their own, and are not measured; it "
            f"takes the prefix {PREFIX} as well",
        )
    if file.has_stock_metrics and file.is_prefixed:
        yield Finding(
            False,
            f"{path}: [oslo_messaging_metrics] sends each call a second time, as datagrams; the "
            "collector leaves them out where it sees the process, and the service pays for them; "
            "set metrics_enabled = false",
        )
    if file.api_database:
        try:
            cells = read_cells(file.api_database)
        except Unread as error:
            yield Finding(False, f"{path}: [api_database] cannot be read ({error}); {BY_HAND}")
            return
        for cell in cells:
            yield _cell(cell, file)
    elif path.rpartition("/")[2].startswith("nova") and file.is_prefixed:
        yield Finding(
            True, f"{path}: it has no [api_database], where Nova keeps its cells; {BY_HAND}", False
        )


def read_cells(url: str) -> list[Cell]:
    """Return the cells in Nova's API database.

    Args:
        url: the URL of the database.

    Raises:
        Unread: that is not possible here.
    """
    try:
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        engine = sqlalchemy.create_engine(url, poolclass=NullPool)
        query = sqlalchemy.text(
            "SELECT name, uuid, transport_url, database_connection FROM cell_mappings ORDER BY id"
        )
        with engine.connect() as connection:
            return [Cell(*(str(value or "") for value in row)) for row in connection.execute(query)]
    except ImportError as error:
        raise Unread(f"{error.name} is not installed") from None
    except Exception as error:  # its message may have the URL
        raise Unread(type(error).__name__) from None


def _is_prefixed(url: str) -> bool:
    return url.startswith(PREFIX)


def _transport(path: str, file: ServiceFile) -> Finding:
    if file.is_prefixed:
        scheme = service_file.scheme(file.transport_url)
        driver = scheme.removeprefix(PREFIX)
        known = entry_points(group=_DRIVERS).names - _OURS  # none where oslo.messaging is not
        if known and driver not in known:
            return Finding(
                False,
                f"{path}: transport_url is {printable(scheme)}://, and oslo.messaging has no "
                f"driver {printable(driver)}; there are {', '.join(sorted(known))}",
            )
        return Finding(True, f"{path}: transport_url is {scheme}://, and is measured")
    return Finding(
        True,
        f"{path}: transport_url has no prefix {PREFIX}; what the service sends is measured if "
        f"{SWITCH} is in its environment",
    )


def _mend(cell: Cell, file: ServiceFile) -> str:
    """Return what makes a cell follow each service's URL, and leaves its database as it is."""
    database = ""
    if cell.database_url != file.database:  # it would be overwritten with the file's
        database = (
            " --database_connection URL, where URL is its database_connection in cell_mappings"
        )
    return (
        f"nova-manage cell_v2 update_cell --cell_uuid {printable(cell.uuid)} "
        f"--transport-url '{TEMPLATE}'{database}; then restart Nova's services"
    )


def _cell(cell: Cell, file: ServiceFile) -> Finding:
    who = printable(f"cell {cell.name or cell.uuid}")
    mend = _mend(cell, file)
    scheme = printable(service_file.scheme(cell.transport_url))
    if _is_prefixed(cell.transport_url):
        return Finding(
            False,
            f"{who}: its stored URL begins with {PREFIX}: each node without shmetrics fails with "
            f"DriverLoadFailure; {mend}",
        )
    if cell.transport_url.startswith("{scheme}"):
        if file.transport_url and not _WHOLE.fullmatch(file.transport_url):
            return Finding(
                False,
                f"{who}: its URL is filled in from transport_url, which lacks a user, a password "
                "or a port: Nova puts None there; add it",
            )
        return Finding(True, f"{who}: its URL follows the transport_url of each service")
    if scheme == "none":  # cell0, which has no broker
        return Finding(True, f"{who}: it has no broker")
    if file.is_prefixed:
        return Finding(
            False,
            f"{who}: its stored URL is {scheme}://, so what is sent to it is not measured, as the "
            f"conductor's casts to compute; set {SWITCH} in the services' environment, or {mend}",
        )
    return Finding(
        True, f"{who}: its stored URL is {scheme}://; it is measured in services with {SWITCH}"
    )

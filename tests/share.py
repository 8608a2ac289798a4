# SPDX-License-Identifier: Apache-2.0
"""`--share I/N`: leave out the modules of the other N - 1 shares.

Quick tests of what runs in a service stay: its Python is whatever the service has. So several runs,
one per Python, have all of those each, and every other test once among them; but for the slow tests
of a part of the collecting half, which has the Python that its packager chose. Those of the whole
of it stay.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import pytest

#: Rooms of tests of the emitting half.
IN_SERVICES = ("emitter", "hooks", "label_rules", "registration")

#: Rooms of tests of whole processes.
WHOLE = ("client", "collector", "greenlets", "life", "prefork", "soak")


class Share(NamedTuple):
    """One of `n` shares, counted from 0."""

    number: int
    n: int

    def has(self, module: str) -> bool:
        """Tell whether a module, by its path, is in this share: the same in every process."""
        return zlib.crc32(module.encode()) % self.n == self.number


def is_of(rooms: tuple[str, ...], module: str) -> bool:
    """Tell whether a module, by its path, is in one of these rooms."""
    folders = module.split("/")[:-1]
    return any(room in folders for room in rooms)


def share_of(text: str) -> Share:
    """Read `I/N`. Raises ValueError."""
    number, _, n = text.partition("/")
    share = Share(*(int(part) if part.isdecimal() else -1 for part in (number, n)))
    if not 0 <= share.number < share.n:
        raise ValueError(f"{text}: not I/N, where I counts from 0 to N - 1")
    return share


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=share_of, default=Share(0, 1), metavar="I/N", help=__doc__)


@pytest.hookimpl(trylast=True)  # the quick tests have their marker by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    share: Share = config.getoption("--share")
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        module = item.nodeid.partition("::")[0]
        is_quick = item.get_closest_marker("quick") is not None
        if is_quick:
            is_in = is_of(IN_SERVICES, module) or share.has(module)
        else:
            is_in = share.has(module) and (share.n == 1 or is_of((*IN_SERVICES, *WHOLE), module))
        (kept if is_in else left_out).append(item)
    if left_out:
        items[:] = kept
        config.hook.pytest_deselected(items=left_out)

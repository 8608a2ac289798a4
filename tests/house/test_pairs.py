# SPDX-License-Identifier: Apache-2.0
"""Promise: each release store names the acquire that meets it, and each acquire its releases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.verify.models.core import COMMENT, FUNCTION, sources

OPPOSITE = {"release": "acquire", "acquire": "release"}
ORDER = re.compile(r"memory_order_(release|acquire)")
PAIRS = re.compile(
    r"[Pp]airs with (?:the|its) (?P<order>release|acquire)s?\b[^.;:]*?"
    r"\bin (?P<names>\w+(?:, \w+)*(?:\s+and \w+)?)"
)
NEAR_LINES = 8


class Side(NamedTuple):
    """One access: where it is, its order, and the functions that its comment names."""

    function: str
    order: str
    named: tuple[str, ...]


def sides(text: str) -> Iterator[Side]:
    """Yield the releases and acquires in the functions of a file."""
    for function in FUNCTION.finditer(text):
        body = function["body"]
        comments = [(found.end(), found[0]) for found in COMMENT.finditer(body)]
        code = COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), body)
        for access in ORDER.finditer(code):
            named: tuple[str, ...] = ()
            for end, comment in comments:
                found = PAIRS.search(
                    " ".join(comment.replace("\n", " ").replace(" * ", " ").split())
                )
                is_near = (
                    end < access.start() and code.count("\n", end, access.start()) < NEAR_LINES
                )
                if found and is_near and found["order"] == OPPOSITE[access[1]]:
                    named = tuple(re.split(r", |\s+and ", found["names"]))
            yield Side(function["name"], access[1], named)


def unpaired(texts: list[str]) -> list[str]:
    """Return a line for each access without a partner, and for each name that leads nowhere."""
    found = [side for text in texts for side in sides(text)]
    has = {(side.function, side.order) for side in found}
    names = {(side.function, side.order, name) for side in found for name in side.named}
    wrong = [f"{side.function}: {side.order} of nobody" for side in found if not side.named]
    for function, order, name in sorted(names):
        if (name, OPPOSITE[order]) not in has:
            wrong.append(f"{function}: no {OPPOSITE[order]} in {name}")
        elif (name, OPPOSITE[order], function) not in names:
            wrong.append(f"{name}: does not name the {order} in {function}")
    return wrong


def test_each_release_and_its_acquire_name_each_other() -> None:
    texts = [path.read_text() for path in sources()]
    found = [side for text in texts for side in sides(text)]
    assert len(found) == sum(len(ORDER.findall(COMMENT.sub("", text))) for text in texts) > 20
    assert unpaired(texts) == []


RELEASE = """
void put(void)
{
    /* Pairs with the acquire in take. */
    atomic_store_explicit(&shared, 1, memory_order_release);
}
"""
ACQUIRE = RELEASE.replace("acquire", "RELEASE").replace("release", "acquire")
ACQUIRE = (
    ACQUIRE.replace("RELEASE", "release").replace("in take", "in put").replace("put(", "take(")
)


def test_an_access_without_its_partner_is_found() -> None:
    assert unpaired([RELEASE, ACQUIRE]) == []
    assert unpaired([RELEASE]) == ["put: no acquire in take"]
    silent = COMMENT.sub("", RELEASE)
    assert unpaired([silent, ACQUIRE]) == [
        *("put: release of nobody", "put: does not name the acquire in take")
    ]
    assert "give: no acquire in put" in unpaired(
        [RELEASE.replace("put(", "give(").replace("take", "put")]
    )

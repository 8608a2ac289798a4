# SPDX-License-Identifier: Apache-2.0
"""A line that says whose it is has to be right; one that says nothing is its owner's."""

from __future__ import annotations

import pytest

from shmetrics.lines.line import Refused, parse
from shmetrics.lines.owner import Owner, check

GEAR = Owner("5f", "gear", {"appName": "A", "gear": "5f", "app": "U", "ns": "N", "stage": "test"})


@pytest.mark.parametrize(
    "text",
    [
        b"a=1",
        b"type=metric a=1 gear=5f appName=A",
        b"a=1 unit=5f kind=gear",
        b"type=metric a=1 stage=test zone=eu",
        b"a=1 cart=",
    ],
)
def test_what_is_known_may_be_repeated(text: bytes) -> None:
    line = parse(text)
    assert line is not None
    check(line, GEAR)


@pytest.mark.parametrize(
    "text",
    [
        b"a=1 gear=60",
        b"a=1 unit=60",
        b"a=1 kind=pod",
        b"a=1 cart=php",  # there is no cartridge behind this line
        b"type=metric a=1 stage=live",
        b"type=metric appName=a a=1",
    ],
)
def test_what_another_is_may_not_be_said(text: bytes) -> None:
    line = parse(text)
    assert line is not None
    with pytest.raises(Refused, match="in a line of gear 5f") as refused:
        check(line, GEAR)
    assert refused.value.reason == "forged"

# SPDX-License-Identifier: Apache-2.0
"""Shares of the suite: each module is in one; quick tests of what services run are in all."""

from __future__ import annotations

import pytest

from tests.share import Share, share_of

MODULES = [f"tests/room/test_{n}.py" for n in range(200)]


@pytest.mark.parametrize("of", [1, 2, 3, 4])
def test_each_module_is_in_one_share(of: int) -> None:
    shares = [{m for m in MODULES if Share(index, of).has(m)} for index in range(of)]
    assert sum(map(len, shares)) == len(MODULES)
    assert set().union(*shares) == set(MODULES)
    assert min(map(len, shares)) > len(MODULES) // of // 2


@pytest.mark.parametrize("text", ["", "1", "3/3", "-1/3", "a/b", "0/0"])
def test_a_share_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not I/N"):
        share_of(text)


def test_quick_tests_of_what_runs_in_services_are_in_every_share(
    pytester: pytest.Pytester,
) -> None:
    text = "import pytest\n@pytest.mark.quick\ndef test_quick(): pass\ndef test_other(): pass\n"
    for room in ("emitter", "collector", "store"):
        pytester.mkdir(room)
        for n in range(6):
            (pytester.path / room / f"test_{room}_{n}.py").write_text(text)
    others = 0
    for index in range(3):
        # faulthandler would take the collector's handler of faults in a lane along when it goes.
        options = ("-p", "no:faulthandler", "-p", "tests.share")
        run = pytester.runpytest(*options, f"--share={index}/3")
        passed = run.parseoutcomes()["passed"]
        assert passed >= 6
        others += passed - 6
    assert others == 6 + 2 * 6 + 6  # slow, slow and quick, and only quick

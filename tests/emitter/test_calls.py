# SPDX-License-Identifier: Apache-2.0
"""Calls: starts, ends, exceptions; on the right series, once, whatever is handed in."""

from __future__ import annotations

import asyncio
import copy

import pytest

import shmetrics
from tests.emitter.recording import dropped, made
from tests.nodes.loopback import Loopback


def test_calls_count_starts_ends_and_exceptions(loopback: Loopback, name: str) -> None:
    call = shmetrics.Calls(name, "Calls", ["method"]).labels("build")
    with call():
        assert loopback.samples().value(f"{name}_invocation_start_total", method="build") == 1
        assert f"{name}_exception_total" not in loopback.samples().names(name)
        with pytest.raises(ZeroDivisionError), call():
            1 / 0
    token = call.start()
    call.end(token, "Timeout")
    call.end(token, "Timeout")  # too late
    call.end(call.start(), None)
    found = loopback.samples()
    assert found.value(f"{name}_invocation_start_total", method="build") == 4
    assert found.value(f"{name}_invocation_end_total", method="build") == 4
    assert found.value(f"{name}_processing_seconds_count", method="build") == 4
    assert found.of(f"{name}_exception_total") == {
        (("exception", "Timeout"), ("method", "build")): 1,
        (("exception", "ZeroDivisionError"), ("method", "build")): 1,
    }
    assert dropped() == {}


def test_calls_without_labels(loopback: Loopback, name: str) -> None:
    calls = shmetrics.Calls(name, "Calls")
    with calls():
        pass
    assert loopback.samples().value(f"{name}_invocation_end_total") == 1


def test_a_call_may_end_on_another_series(loopback: Loopback, name: str) -> None:
    """It ends where it began."""
    calls = shmetrics.Calls(name, "Calls", ["method"])
    calls.labels("b").end(calls.labels("a").start(), "KeyError")
    found = loopback.samples()
    ended = {(("method", "a"),): 1, (("method", "b"),): 0}
    assert found.of(f"{name}_invocation_end_total") == ended
    assert found.of(f"{name}_exception_total") == {(("exception", "KeyError"), ("method", "a")): 1}


@pytest.mark.parametrize("token", [None, 7, "token"], ids=str)
def test_the_end_of_what_is_no_call_is_counted(
    loopback: Loopback, name: str, token: object
) -> None:
    made("Calls", name).labels().end(token)
    assert dropped() == {"bad_value": 1}


@pytest.mark.parametrize("exception", [KeyError, KeyError("x"), 7, ["KeyError"]], ids=str)
def test_an_exception_that_is_no_name_is_counted(
    loopback: Loopback, name: str, exception: object
) -> None:
    """And the call has ended."""
    call = made("Calls", name).labels()
    call.end(call.start(), exception)
    assert dropped() == {"bad_labels": 1}
    assert loopback.samples().value(f"{name}_invocation_end_total") == 1


def test_a_call_cannot_be_made_up(loopback: Loopback, name: str) -> None:
    call = made("Calls", name).labels().start()
    with pytest.raises(TypeError):
        type(call)()
    with pytest.raises(TypeError):
        copy.copy(call)


def test_asyncio_and_decorators_pass_errors_on(loopback: Loopback, name: str) -> None:
    call = made("Calls", name)

    async def work() -> None:
        with call():
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    assert loopback.samples().of(f"{name}_exception_total") == {
        (("exception", "CancelledError"),): 1
    }

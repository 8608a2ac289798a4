# SPDX-License-Identifier: Apache-2.0
"""An open call as a context manager: whatever enters and leaves it, and what it leaves behind."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.emitter.recording import dropped, made
from tests.nodes.loopback import Loopback


def by_with(manager: Any, raised: BaseException | None) -> None:
    with manager:
        if raised:
            raise raised


def by_stack(manager: Any, raised: BaseException | None) -> None:
    """Looks both methods up on the class, and binds them."""
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(manager) is manager
        if raised:
            raise raised


def by_methods(manager: Any, raised: BaseException | None) -> None:
    assert manager.__enter__() is manager
    assert manager.__exit__(type(raised) if raised else None, raised, None) is None
    if raised:
        raise raised


def by_class(manager: Any, raised: BaseException | None) -> None:
    kind = type(manager)
    assert kind.__enter__(manager) is manager
    assert kind.__exit__(manager, type(raised) if raised else None, raised, None) is None
    if raised:
        raise raised


def by_decorator(manager: Any, raised: BaseException | None) -> None:
    @contextlib.contextmanager
    def around() -> Iterator[None]:
        with manager:
            yield

    with around():
        if raised:
            raise raised


WAYS = pytest.mark.parametrize("way", [by_with, by_stack, by_methods, by_class, by_decorator])


@WAYS
def test_every_way_into_a_block_and_out_of_it(
    loopback: Loopback, name: str, way: Callable[[Any, BaseException | None], None]
) -> None:
    call = made("Calls", name)
    way(call(), None)
    with pytest.raises(KeyError):
        way(call(), KeyError("x"))
    found = loopback.samples()
    assert found.value(f"{name}_invocation_start_total") == 2
    assert found.value(f"{name}_invocation_end_total") == 2
    assert found.of(f"{name}_exception_total") == {(("exception", "KeyError"),): 1}
    assert dropped() == {}


def test_an_open_call_is_a_context_manager(loopback: Loopback, name: str) -> None:
    assert isinstance(made("Calls", name)(), contextlib.AbstractContextManager)


@pytest.mark.parametrize("args", [(None, None), (None,) * 4], ids=len)
def test_an_open_call_is_not_for_calling(
    loopback: Loopback, name: str, args: tuple[None, ...]
) -> None:
    """And a mistake in that is told, as with any object that cannot be called so."""
    call = made("Calls", name)()
    with pytest.raises(TypeError):
        call(*args)
    with pytest.raises(TypeError):
        call.__enter__(self=call)
    assert loopback.samples().of(f"{name}_invocation_end_total") == {(): 0}


def test_an_open_call_that_nobody_made_is_refused(loopback: Loopback, name: str) -> None:
    kind: Any = type(made("Calls", name)())
    made_up = kind.__new__(kind)
    with pytest.raises(TypeError), made_up:
        pass


def test_open_calls_leave_nothing_behind(loopback: Loopback, name: str) -> None:
    """More of them at once than are kept for the next ones, and all of them open."""
    call = made("Calls", name).labels()
    references, objects = sys.getrefcount(call), len(gc.get_objects())
    for _ in range(3):
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(call()) for _ in range(300)]
            assert sys.getrefcount(call) == references + 300
            assert len({id(each) for each in opened}) == 300
        del opened, stack
        assert sys.getrefcount(call) == references
    assert len(gc.get_objects()) < objects + 50
    assert loopback.samples().value(f"{name}_invocation_end_total") == 900


def test_calls_that_cross_each_other_are_each_counted_once(loopback: Loopback, name: str) -> None:
    """Against a twin that counts: begun and ended in any order; of the ends of one, the first."""
    call = made("Calls", name).labels()
    order = random.Random(1)
    begun: list[Any] = []
    still_open: list[bool] = []
    raised = 0
    for _ in range(2000):
        if not begun or order.random() < 0.4:
            begun.append(call().__enter__())
            still_open.append(True)
        n, kind = order.randrange(len(begun)), order.choice([None, OSError])
        if order.random() < 0.5:
            begun[n].__exit__(kind, None, None)
            raised += still_open[n] and kind is not None
            still_open[n] = False
    found = loopback.samples()
    assert found.value(f"{name}_invocation_start_total") == len(begun)
    assert found.value(f"{name}_invocation_end_total") == still_open.count(False)
    assert found.of(f"{name}_exception_total") == {(("exception", "OSError"),): raised}
    assert 0 < raised < still_open.count(False) < len(begun)

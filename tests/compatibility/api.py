# SPDX-License-Identifier: Apache-2.0
"""List the public API: names and parameters of Python, commands and options of the shell, paths and
fields of HTTP.

    python -m tests.compatibility.api

adds what is new to data/api.txt. It takes no line away: what is public may grow, and may not go.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import shmetrics
from shmetrics import cli, osprofiler, rpc
from tests.compatibility import http_api

LISTED: Final = Path(__file__).with_name("data") / "api.txt"

_VARIABLE: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_ONLY_HERE: Final = {"definition", "child", "wrong_labels", "with_stamp"}  # of no documented page


def now() -> list[str]:
    """Return the API as it is, a line each, sorted."""
    found = [_said("shmetrics.get_include", shmetrics.get_include)]
    found += [f"shmetrics.status()[{key!r}]" for key in shmetrics.status()]
    for name in ("Counter", "ObservedCounter", "Gauge", "Histogram", "Calls"):
        instrument = getattr(shmetrics, name)
        found.append(_said(f"shmetrics.{name}", instrument))
        found += _members(f"shmetrics.{name}", instrument)
        child = instrument(f"api_{name.lower()}", "API", ["label"]).labels("value")
        found += _members(f"shmetrics.{name}.labels()", type(child))
    array = shmetrics.ObservedCounter("api_observed", "API", ["label"]).array(["value"])
    found += _members("shmetrics.ObservedCounter.array()", type(array))
    for name in ("client_call", "server_call"):
        found.append(_said(f"shmetrics.rpc.{name}", getattr(rpc, name)))
    found += [
        _said(f"shmetrics.osprofiler.{name}", getattr(osprofiler, name))
        for name in osprofiler.__all__
    ]
    return sorted([*found, *_commands("shmetrics", cli._parser()), *http_api.lines()])


def listed() -> list[str]:
    """Return the API as it is listed."""
    return LISTED.read_text().splitlines()


def main() -> int:
    """Add what is new; complain of what is missing."""
    found = now()
    missing = sorted(set(listed()) - set(found)) if LISTED.exists() else []
    if missing:
        print("missing, and public:", *missing, sep="\n", file=sys.stderr)
        return 1
    LISTED.write_text("\n".join(found) + "\n")
    return 0


def _members(prefix: str, owner: type) -> Iterator[str]:
    """Yield the public methods of a class."""
    for name in dir(owner):
        member = getattr(owner, name)
        is_public = not name.startswith("_") or name == "__call__"
        if is_public and name not in _ONLY_HERE and callable(member):
            yield _said(f"{prefix}.{name}", member)


def _said(name: str, called: Callable[..., Any]) -> str:
    """Return a callable's name and parameters; those that may be left out end in `=`."""
    if isinstance(called, type(object.__init__)):  # of a compiled class: it has no signature
        return f"{name}(...)"
    said = []
    for parameter in inspect.signature(called).parameters.values():
        if parameter.name == "self" or parameter.name.startswith("_"):
            continue
        may_miss = "" if parameter.default is parameter.empty else "="
        stars = 1 + _VARIABLE.index(parameter.kind) if parameter.kind in _VARIABLE else 0
        said.append(f"{'*' * stars}{parameter.name}{may_miss}")
    return f"{name}({', '.join(said)})"


def _commands(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the commands of a parser, and their options."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, inner in action.choices.items():
                yield f"$ {name} {command}"
                yield from _commands(f"{name} {command}", inner)
        elif action.option_strings:
            yield f"$ {name} {action.option_strings[-1]}"
        else:
            yield f"$ {name} <{action.dest}>"


if __name__ == "__main__":
    raise SystemExit(main())

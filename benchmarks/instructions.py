# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks.instructions`: instructions per event, against budgets.toml.

callgrind counts them: the number does not depend on how busy the machine is, and one more branch on
the way of an event shows. It does depend on the compiler and on CPython, so the budgets name
theirs; with others the numbers are shown and not judged.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

from benchmarks import floor

BUDGETS = Path(__file__).parent / "budgets.toml"
TOLERANCE = 1.03
EVENTS = 20_480

CORE = {
    "add": ("emit", "drain"),
    "observe": ("emit", "spill", "drain"),
    "call": ("emit", "spill", "drain"),
}
# Which compiled functions do the work of a method, by their names in the extension.
SPAN = (
    "__pyx_f_*profiler*new_trace",
    "__pyx_tp_descr_get_*ItselfOrBound",
    "__pyx_f_*profiler*entered_or_left",
    "__pyx_tp_dealloc_*profiler*Trace",
)
TIME = (
    "__pyx_pw_*HistogramSeries*time",
    "__pyx_tp_descr_get_*Itself",
    "__pyx_f_*_ring__timed",
    "__pyx_tp_dealloc_*Block",
)
LABELS = "__pyx_f_*_ring__labels"
METHODS = {
    "inc": ("__pyx_pw_*CounterSeries*inc",),
    "observe": ("__pyx_pw_*HistogramSeries*observe",),
    "call": (
        "__pyx_pw_*CallSeries*__call__",
        "__pyx_tp_descr_get_*Itself",
        "__pyx_f_*entered_or_left",
        "__pyx_tp_dealloc_*OpenCall",
    ),
    "labels": (LABELS, "__pyx_pw_*CounterSeries*inc"),
    "names": (LABELS, "__pyx_pw_*CounterSeries*inc"),
    "time": TIME,
    "labels and time": (LABELS, *TIME),
    "decorated": ("__pyx_f_*_ring__run",),  # and the function
    "total": ("__pyx_pw_*ObservedSeries*set_total",),
    "totals": ("__pyx_pw_*ObservedArray*set_totals",),
    "span": SPAN,
    "resting": SPAN,
}

Counts = dict[str, float]


class CountFailed(Exception):
    """callgrind did not count; the message is what it said."""


def named(patterns: Iterable[str]) -> list[str]:
    """Return the functions of the extensions whose names match; callgrind takes one pattern only.

    Raises:
        CountFailed: a pattern matches none.
    """
    found = []
    for pattern in patterns:
        matching = fnmatch.filter(_functions(), pattern)
        if not matching:
            raise CountFailed(f"{pattern}: no function has such a name")
        found += matching
    return found


@cache
def _functions() -> list[str]:
    """Return the names of all functions of the extensions of this CPython."""
    found = []
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for extension in (BUDGETS.parent.parent / "shmetrics").rglob(f"*{suffix}"):
        command = ["nm", "--defined-only", "--format=posix", str(extension)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        symbols = (line.split() for line in listed.splitlines())
        found += [symbol[0] for symbol in symbols if symbol[1] in "tT"]
    return found


def count(functions: Iterable[str], command: list[str]) -> int:
    """Instructions in functions and whatever they call, while the command runs.

    None of the functions may call another of them: each switches the counting on and off.
    """
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    valgrind += ["--collect-atstart=no", *(f"--toggle-collect={each}" for each in functions)]
    done = subprocess.run(
        [*valgrind, *command],
        cwd=BUDGETS.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or not int(found[1]):
        raise CountFailed(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return int(found[1])


def core_counts() -> Iterator[tuple[str, float]]:
    """Per event in C: into the ring or a cell, into totals when it is full, and out of the lane."""
    for operation, sides in CORE.items():
        for side in sides:
            command = [str(floor.CORE), operation, str(EVENTS)]
            yield f"{operation}, {side}", count([f"measured_{side}"], command) / EVENTS


def method_counts() -> Iterator[tuple[str, float]]:
    """Per method or block from Python, the ring having room. What comes once is subtracted."""
    command = [sys.executable, "-m", "benchmarks.methods"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # they do not disturb what is counted
        found = {
            method: [
                pool.submit(count, named(functions), [*command, method, str(n * EVENTS)])
                for n in (1, 2)
            ]
            for method, functions in METHODS.items()
        }
        for method, counts in found.items():
            once, twice = (each.result() for each in counts)
            yield f"{method}, from Python", (twice - once) / EVENTS


def toolchain() -> dict[str, str]:
    """Return what the counts depend on, apart from the code."""
    compiler = os.environ.get("CC", "cc")
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    name = "clang" if "clang" in said.stdout else "gcc"
    macro = subprocess.run(
        [compiler, "-dumpversion"], capture_output=True, text=True, check=True
    ).stdout
    return {
        "compiler": f"{name} {macro.split('.')[0].strip()}",
        "machine": platform.machine(),
        "python": "{}.{}".format(*sys.version_info[:2]),
    }


def over(budgets: Mapping[str, float], counts: Mapping[str, float]) -> list[str]:
    """Return a line for each count over its budget, or without one."""
    return [
        f"{name}: {found:.1f} instructions, {f'{budgets[name]:.1f}' if name in budgets else 'no'} "
        "budget"
        for name, found in counts.items()
        if found > TOLERANCE * budgets.get(name, 0)
    ]


def table(budgets: Mapping[str, float], counts: Mapping[str, float]) -> Iterator[str]:
    yield f"{'instructions per event':28}{'found':>9}{'budget':>9}{'ratio':>8}"
    for name, found in counts.items():
        budget = budgets.get(name)
        ratio = f"{found / budget:8.3f}" if budget else f"{'':8}"
        yield f"{name:28}{found:9.1f}{budget or 0:9.1f}{ratio}"


def written(chain: Mapping[str, str], counts: Mapping[str, float]) -> str:
    """budgets.toml with these numbers."""
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# Instructions per event, counted by callgrind; `make budgets` fails when one is exceeded",
        "# by more than 3 %. Written by `python -m benchmarks.instructions --write`.",
        "",
        "[toolchain]",
        *(f'{key} = "{value}"' for key, value in chain.items()),
        "",
        "[instructions]",
        *(f'"{name}" = {found:.1f}' for name, found in counts.items()),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="make what is found the new budgets")
    args = parser.parse_args()
    floor.build()
    chain = toolchain()
    counts: Counts = dict([*core_counts(), *method_counts()])
    if args.write:
        BUDGETS.write_text(written(chain, counts))
    budgets = tomllib.loads(BUDGETS.read_text())
    print("\n".join(table(budgets["instructions"], counts)))
    if chain != budgets["toolchain"]:
        print(f"not judged: the budgets are of {budgets['toolchain']}, this is {chain}")
        return 0
    exceeded = over(budgets["instructions"], counts)
    for line in exceeded:
        print(f"over budget: {line}", file=sys.stderr)
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())

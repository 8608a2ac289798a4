# SPDX-License-Identifier: Apache-2.0
"""The fuzzing targets: how each is built, run, and what came of it.

C targets are libFuzzer programs of clang, with AddressSanitizer and UBSan; those of messages.py run
under atheris, which is libFuzzer for Python. Inputs to begin with are in corpus/TARGET, those that
once found something in found/TARGET.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CSRC = ROOT / "csrc"

_FLAGS = ["-std=gnu11", "-g", "-fno-sanitize-recover=all", "-fsanitize=address,undefined"]
_TRACED = [
    "-O1",
    "-fsanitize-coverage=inline-8bit-counters,pc-table,trace-loads,trace-stores",
]
_GUIDED = ["-O1", "-fsanitize=fuzzer-no-link"]
_UNTRACED = ["-O2"]  # the target's own code is not what is explored

_LANES = (
    *("drain/drain", "drain/totals", "drain/entries", "drain/scale", "drain/state"),
    *("drain/recovery", "drain/contained", "drain/guard"),
)

C_TARGETS = {
    # name: flags of the core, sources of the core, sources of the target by how they are compiled
    "drain": (_TRACED, _LANES, ("emitter",), ("traced",)),
    "moves": (_TRACED, _LANES, ("emitter",), ("traced",)),
    "entries": (_GUIDED, ("drain/drain", "drain/totals", "drain/entries", "drain/scale"), (), ()),
    "numbers": (_GUIDED, ("render/text", "render/number", "render/decimal"), (), ()),
    "units": (_GUIDED, ("units/devices", "units/process", "units/values"), (), ()),
}
PYTHON_TARGETS = (
    *("hello", "answer", "label_rules", "strings", "definition"),
    *("datagram", "accept", "options", "line", "wish", "manifest", "node_conf"),
)
TARGETS = (*C_TARGETS, *PYTHON_TARGETS)

_MAX_BYTES = {
    "drain": 300,
    "moves": 300,
    "entries": 1024,
    "numbers": 64,
    "options": 512,
    "manifest": 512,
    "line": 300,
}


def compile_target(
    name: str, folder: Path, csrc: Path = CSRC, sound: Path | None = None, changed: str = ""
) -> list[str]:
    """Compile a C target, and return the command that runs it.

    Args:
        name: the target.
        folder: where it is built.
        csrc: the core that it is about.
        sound: where it has been built of the core as it is; None: nowhere.
        changed: the one file of csrc that is not as it is. What does not include it is taken from
            there.
    """
    flags, core, traced, untraced = C_TARGETS[name]
    sources = [
        *((csrc / f"{source}.c", flags) for source in core),
        *((HERE / f"{source}.c", flags) for source in traced),
        *((HERE / f"{source}.c", _UNTRACED) for source in (*untraced, name)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    objects = [folder / f"{name}-{source.stem}-{n}.o" for n, (source, _) in enumerate(sources)]
    common = ["clang", *_FLAGS, "-I", str(csrc), "-I", str(HERE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for compiled in [
            pool.submit(_call, [*common, *how, "-MMD", "-c", str(source), "-o", str(made)])
            for (source, how), made in zip(sources, objects, strict=True)
            if not sound or changed in (sound / made.name).with_suffix(".d").read_text()
        ]:
            compiled.result()
    if sound:
        objects = [made if made.exists() else sound / made.name for made in objects]
    program = folder / name
    wrapped = ["-Wl,--wrap=__asan_memcpy,--wrap=__asan_handle_no_return"] if untraced else []
    _call([*common, "-fsanitize=fuzzer", *wrapped, *map(str, objects), "-o", str(program)])
    return [str(program)]


def _call(command: list[str]) -> None:
    subprocess.run(command, check=True)


def command_of(name: str, folder: Path) -> list[str]:
    """Return the command that runs a target, after whatever building it takes."""
    return compile_target(name, folder) if name in C_TARGETS else built_in(name, folder)


def built_in(name: str, folder: Path) -> list[str]:
    """Return the command that runs a target which has been built in a folder."""
    if name in C_TARGETS:
        return [str(folder / name)]
    return [sys.executable, "-m", "tests.verify.fuzz.messages", name]


def inputs_of(name: str) -> list[Path]:
    """The folders of inputs that are kept for a target."""
    return [folder for kind in ("corpus", "found") if (folder := HERE / kind / name).is_dir()]


class Outcome(NamedTuple):
    """The outcome of a run. text: all that it said, the reason of a failure among it."""

    passed: bool
    executions: int
    edges: int
    seconds: float
    text: str


def run(command: list[str], name: str, corpora: list[Path], folder: Path, *options: str) -> Outcome:
    """Runs a target on corpora; what is new goes into the first of them, findings into folder."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *command,
            *(f"-max_len={_MAX_BYTES.get(name, 256)}", "-timeout=20", "-rss_limit_mb=2048"),
            *("-print_final_stats=1", f"-artifact_prefix={folder}/{name}-"),
            *options,
            *map(str, corpora),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Outcome(
        done.returncode == 0,
        _number(r"number_of_executed_units: +(\d+)|Executed \S+ in|Done (\d+) runs", done.stdout),
        _number(r"cov: (\d+)", done.stdout),
        float(_number(r"Done \d+ runs in (\d+) second", done.stdout)),
        done.stdout,
    )


def _number(pattern: str, text: str) -> int:
    """The last number that the pattern finds; 0 if none."""
    found = [number for match in re.finditer(pattern, text) for number in match.groups() if number]
    return int(found[-1]) if found else 0

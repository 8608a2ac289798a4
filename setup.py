# SPDX-License-Identifier: Apache-2.0
"""The compiled modules. SHMETRICS_SANITIZE=address,undefined (or thread) instruments it."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_py import build_py

if sys.implementation.name != "cpython" or sys.platform != "linux":
    sys.exit(
        f"shmetrics is for CPython on Linux, and this is {sys.implementation.name} on "
        f"{sys.platform}. Leave it out there: a service does not need it to run."
    )

sanitize = os.environ.get("SHMETRICS_SANITIZE", "")
flags = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-fvisibility=hidden"]
# What Cython generates is not ours to mend.
generated = ["-Wno-conversion", "-Wno-sign-conversion", "-Wno-unused-parameter", "-Wno-shadow"]
instrument = [f"-fsanitize={sanitize}", "-g", "-O1", "-fno-omit-frame-pointer"] if sanitize else []
# What reads a stranger's bytes is not to be turned by them: overrun buffers end the process, and no
# table of functions can be written to once it is loaded.
hardened = ["-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
sealed = ["-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"]

# Each module has what it calls of csrc/, and none a second copy of anything that has state.
# The layout has its headers alone; the messages nothing of it: they are compiled for speed alone.
MODULES = {
    "layout": [],
    "_ring": ["emit/process"],
    "store._cells": ["drain/exemplars", "drain/scale"],
    "lanes._drain": [
        *("drain/contained", "drain/drain", "drain/entries", "drain/exemplars", "drain/guard"),
        *("drain/recovery", "drain/state", "drain/totals"),
    ],
    "units._files": [
        *("units/devices", "units/process", "units/processes", "units/read", "units/values"),
        "units/walk",
    ],
    "render._text": ["render/decimal", "render/number", "render/text"],
    "render._lines": ["render/decimal", "render/lines", "render/number"],
    "render._otlp": ["render/otlp"],
    "render._remote_write": ["render/native", "render/remote_write"],
    "render._proto": ["render/native", "render/proto", "render/proto_exemplar"],
    "probes.spawner._start": ["spawn/start"],
    "push._candidates": [],
    "hooks.oslo_messaging._messages": [],
    "hooks.osprofiler._profiler": ["emit/ids"],
}

# What runs in a service for every event, and reads nothing but what that service says. A guard in
# every function with an array, which is each that Python calls, takes 6 instructions of 100 there:
# these have one where there is text, and what reads lanes has one in every such function.
HOT = {"_ring", "hooks.oslo_messaging._messages", "hooks.osprofiler._profiler"}


def guards(name: str) -> list[str]:
    return ["-fstack-protector" if name in HOT else "-fstack-protector-strong"]


# Beside the packages, where Python looks for it when it starts: see _shmetrics_start.py.
START = "shmetrics_start.pth"


class BuildWithStart(build_py):
    def run(self) -> None:
        super().run()
        self.copy_file(START, os.path.join(self.build_lib, START))


PROCESSORS = len(os.sched_getaffinity(0))

setup(
    cmdclass={"build_py": BuildWithStart},
    options={"build_ext": {"parallel": PROCESSORS}},
    ext_modules=cythonize(
        [
            Extension(
                f"shmetrics.{name}",
                [
                    f"shmetrics/{name.replace('.', '/')}.pyx",
                    *(f"csrc/{source}.c" for source in sources),
                ],
                include_dirs=["csrc"],
                depends=sorted(
                    str(path)
                    for pattern in ("csrc/*/*.h", "shmetrics/**/*.pxi")
                    for path in Path().glob(pattern)
                ),
                extra_compile_args=[*flags, *generated, *(instrument or hardened + guards(name))],
                extra_link_args=[*sealed, *instrument],
            )
            for name, sources in MODULES.items()
        ],
        nthreads=PROCESSORS,
        compiler_directives={"language_level": 3, "embedsignature": True},
    ),
)

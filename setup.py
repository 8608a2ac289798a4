# SPDX-License-Identifier: Apache-2.0
"""The one compiled module. SHMETRICS_SANITIZE=address,undefined (or thread) instruments it."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

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

core = sorted(str(path) for path in Path("csrc").glob("*.c"))

setup(
    ext_modules=cythonize(
        [
            Extension(
                "shmetrics._ring",
                ["shmetrics/_ring.pyx", *core],
                include_dirs=["csrc"],
                depends=sorted(str(path) for path in Path("csrc").glob("*.h")),
                extra_compile_args=[*flags, *generated, *(instrument or ["-O2"])],
                extra_link_args=instrument,
            )
        ],
        compiler_directives={"language_level": 3, "embedsignature": True},
    )
)

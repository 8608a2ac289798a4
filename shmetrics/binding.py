# SPDX-License-Identifier: Apache-2.0
"""The compiled part for an emitter, or a stub where it does not work.

The compiled part has one producer per process and relies on the GIL. Without the GIL it would write
wrong numbers, so such an interpreter is refused here; a second interpreter of a process cannot load
it at all. Neither may harm the service: the stub has the same functions, which do nothing, and the
log says so once.

A Python build without the GIL turns the GIL on when the compiled part is loaded, and warns about
that. If warnings are errors, the warning ends the import, with the GIL on; the second import has
nothing to warn about.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what typing has under this name, without importing it
refusal = ""  # why nothing is recorded in this interpreter


def without_gil() -> bool:
    """Return whether threads may run Python code at the same time."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    return enabled is not None and not enabled()


def say(what: str) -> None:
    """Write one line to the log of the service, unless shmetrics is disabled."""
    if os.environ.get("SHMETRICS_DISABLE") != "1":
        import logging

        logging.getLogger("shmetrics").warning("%s", what)


if TYPE_CHECKING:
    from shmetrics import _ring as ring
    from shmetrics import layout
else:
    try:
        from shmetrics import layout

        try:
            from shmetrics import _ring as ring
        except RuntimeWarning as warning:
            from shmetrics import _ring as ring

            say(str(warning))
    except Exception as error:
        refusal = f"its compiled part cannot be loaded ({error})"
    if not refusal and without_gil():
        refusal = "it needs the GIL: start Python without PYTHON_GIL=0 and -X gil=0"
    if refusal:
        from shmetrics import stub as ring

        if sys.modules.get("shmetrics.layout") is None:  # it is compiled, too
            # What both halves read takes its numbers from there, and must be importable here.
            layout = sys.modules["shmetrics.layout"] = ring
        say(f"shmetrics does not measure here: {refusal}")

__all__ = ["layout", "refusal", "ring", "without_gil"]

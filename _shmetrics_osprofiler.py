# SPDX-License-Identifier: Apache-2.0
"""Has OSProfiler know the driver `shm` of `connection_string = shm://`.

OSProfiler finds a driver among the classes that are loaded, and loads only its own. So this module
is imported when Python starts (shmetrics_osprofiler.pth), does nothing but listen, and loads ours
once somebody has loaded those. It knows nothing of shmetrics until then, and costs 30 µs.
"""

import sys

THEIRS = "osprofiler.drivers"
OURS = "shmetrics.hooks.osprofiler.driver"


class Finder:
    """Finds OSProfiler's drivers where they are, and adds to what is done to load them."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name != THEIRS:
            return None
        from importlib.machinery import PathFinder

        sys.meta_path.remove(Finder)
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_add(module):  # type: ignore[no-untyped-def]
            load(module)
            try:
                __import__(OURS)
            except Exception as error:
                import logging

                logging.getLogger("shmetrics").warning("no driver for shm://: %r", error)

        spec.loader.exec_module = load_and_add  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]

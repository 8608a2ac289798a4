# SPDX-License-Identifier: Apache-2.0
"""Loads a module of ours once a library that it adds to has been loaded.

This module is imported when Python starts (shmetrics_start.pth), does nothing but listen, and knows
nothing of shmetrics until then. It costs 30 µs.

- OSProfiler finds a driver among the classes that are loaded, and loads only its own. So the driver
  of `connection_string = shm://` is loaded after those.
- With `SHMETRICS_OSLO_MESSAGING=1` in the environment, the transports of oslo.messaging are
  measured, whatever their URL. Without it oslo.messaging is left alone.
"""

import os
import sys

#: Modules of libraries, each with the module of ours that is loaded after it, and after a colon the
#: function there that is called.
WANTED = {"osprofiler.drivers": "shmetrics.hooks.osprofiler.driver"}
if os.environ.get("SHMETRICS_OSLO_MESSAGING") == "1":
    WANTED["oslo_messaging"] = "shmetrics.hooks.oslo_messaging.every_transport:measure"


class Finder:
    """Finds a library's module where it is, and adds to what is done to load it."""

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        ours = WANTED.pop(name, None)
        if ours is None:
            return None
        from importlib.machinery import PathFinder

        if not WANTED:
            sys.meta_path.remove(Finder)  # type: ignore[arg-type]
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_add(module):  # type: ignore[no-untyped-def]
            load(module)
            try:
                own, _, function = ours.partition(":")
                __import__(own)
                if function:
                    getattr(sys.modules[own], function)()
            except Exception as error:
                import logging

                logging.getLogger("shmetrics").warning("%s is left alone: %r", name, error)

        spec.loader.exec_module = load_and_add  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder)  # type: ignore[arg-type]

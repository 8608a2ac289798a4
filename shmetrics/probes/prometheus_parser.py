# SPDX-License-Identifier: Apache-2.0
"""prometheus_client's parser of the text format, without the rest of that package.

Whoever imports `prometheus_client.parser` runs the package's `__init__` first, and so loads HTTP
servers, TLS, collectors and registries: 5 MB in a process that only reads. The parser needs none of
them. So this module has the package's folder as its own path, as a package has one, and the parser
is a module in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

_package = find_spec("prometheus_client")
if _package is None:
    raise ModuleNotFoundError("No module named 'prometheus_client'", name="prometheus_client")

__path__ = list(_package.submodule_search_locations or ())

#: Yields the families of a text; see prometheus_client's text_string_to_metric_families.
families_of: Callable[[str], Iterable[Metric]]
families_of = import_module(f"{__name__}.parser").text_string_to_metric_families

# SPDX-License-Identifier: Apache-2.0
"""Promise: the parser without its package says what it says within it, and brings nothing along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from shmetrics.probes.prometheus_parser import families_of

PROGRAM = """
import sys
from shmetrics.probes.prometheus_parser import families_of
assert [family.name for family in families_of("a 1\\n")] == ["a"]
print(*sys.modules)
"""

TEXT = """# HELP jobs_total Jobs \\\\ done,\\nwith a line
# TYPE jobs_total counter
jobs_total{queue="a \\"b\\"",n="1"} 5 1600000000123
jobs_created{queue="a"} 1.5e9
# TYPE took histogram
took_bucket{le="0.1"} 1
took_bucket{le="+Inf"} 2
took_sum 3.5
took_count 2
# TYPE size summary
size{quantile="0.5"} NaN
size_sum 1
size_count 1
no_type -Inf
{"a.name", "a label"="é"} 0x10
"""

LINES = st.lists(st.sampled_from([*TEXT.splitlines(), "", "#", "a{", "a{b=}", "a 1 2 3", 'a{b="']))


def said(parse: Callable[[str], Iterable[Metric]], text: str) -> object:
    """Return everything of the families of a text, or the error."""
    try:
        return [
            (one.name, one.documentation, one.type, one.unit, [repr(tuple(s)) for s in one.samples])
            for one in parse(text)
        ]
    except Exception as error:
        return type(error), str(error)


@given(LINES.map("\n".join))
def test_it_says_what_it_says_within_its_package(text: str) -> None:
    assert said(families_of, text) == said(text_string_to_metric_families, text)


def test_a_whole_text() -> None:
    text = TEXT.rpartition("0x10")[0] + "16\n"
    found = said(families_of, text)
    assert isinstance(found, list)
    assert {"jobs", "took", "size", "no_type", "a.name"} <= {one[0] for one in found}
    assert found == said(text_string_to_metric_families, text)


def test_it_brings_nothing_along() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert "shmetrics" in found
    assert found & {"prometheus_client", "http", "wsgiref", "urllib", "ssl", "threading"} == set()

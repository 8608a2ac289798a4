# SPDX-License-Identifier: Apache-2.0
"""The templates of the pages: autoescaped, and compiled when the collector starts.

Labels, and what spans say, come from strangers. A template escapes every value that it shows, but
for the style and the script, which are files of this package.
"""

from __future__ import annotations

import io
import uuid
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shmetrics import figures
from shmetrics.tables.methods import Method, family_title, quantile
from shmetrics.traces.times import iso

MAX_ROWS = 200  # of a table

_PACKAGE = Path(__file__).parent
STYLE = (_PACKAGE / "static" / "style.css").read_text("utf-8")
SCRIPT = (_PACKAGE / "static" / "refresh.js").read_text("utf-8")


def render(name: str, **values: object) -> bytes:
    """Fill in a template.

    Args:
        name: The file in templates/.
        values: the values that it shows, by name. A value that is missing is an error.

    Returns:
        The page in UTF-8, with a question mark for each half of a surrogate pair.
    """
    page = io.BytesIO()
    for text in _ENVIRONMENT.get_template(name).generate(**values):
        page.write(text.encode("utf-8", "replace"))
    return page.getvalue()


def _compiled() -> Environment:
    """Return an environment that has compiled every template.

    A template with an error prevents the start, and an upgrade of the package changes no page of a
    collector that runs.
    """
    environment = Environment(
        loader=FileSystemLoader(_PACKAGE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(max_rows=MAX_ROWS, style=STYLE, script=SCRIPT)
    environment.filters.update(
        duration=figures.seconds,
        number=figures.number,
        percent=_percent,
        quantile=_quantile,
        side=family_title,
        size=figures.size,
        time=_time,
        uuid=_uuid,
    )
    for name in environment.list_templates():
        environment.get_template(name)
    return environment


def _percent(fraction: float) -> str:
    return f"{fraction:.0%}"


def _quantile(method: Method, q: float) -> float | None:
    return quantile(q, method.bounds, method.buckets)


def _time(unix_ns: int) -> str:
    """Return a time in UTC, to the millisecond."""
    return (iso(unix_ns) or "")[:23].replace("T", " ")


def _uuid(id: bytes) -> str:
    return str(uuid.UUID(bytes=id))


_ENVIRONMENT = _compiled()

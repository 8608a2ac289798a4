# SPDX-License-Identifier: Apache-2.0
"""The templates: what they escape, and what they refuse to leave out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

import shmetrics.web
from shmetrics.web import templates

FOLDER = Path(shmetrics.web.__file__).parent / "templates"


def test_only_style_and_script_are_not_escaped() -> None:
    unescaped = {
        found
        for path in FOLDER.iterdir()
        for found in re.findall(r"(\w+) *\| *safe\b|autoescape|Markup", path.read_text())
    }
    assert unescaped == {"style", "script"}
    assert "</" not in templates.STYLE + templates.SCRIPT


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'node' is undefined"):
        templates.render("trace.html", title="", base_id="", span_count=0)


def test_a_template_that_is_missing_is_an_error() -> None:
    with pytest.raises(TemplateNotFound):
        templates.render("nowhere.html")


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    page = templates.render("trace.html", title="", base_id="", node="a\ud800b", span_count=0)
    assert b"<small>a?b</small>" in page

# SPDX-License-Identifier: Apache-2.0
"""Values in the text of statements are not kept; names, comments and all else are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.hooks.sql_text import without_values

SECRET = "a secret"
KEPT = st.sampled_from(
    [
        *("SELECT", "a.b = ?", "LIMIT 10", "%(name)s", ":name", "x.y->>", "$1", "(", "-", "/"),
        *("-- it's\n", "/* don't */", "`it's`"),
    ]
)
INNER = st.sampled_from([SECRET, "", "''", "--", "/*", "*/", "`", "\n", "it is", "$", "$$ $"])


def quoted(quote: str) -> st.SearchStrategy[tuple[str, str]]:
    inner = st.lists(INNER).map(" ".join).map(lambda text: text.replace("'", quote))
    return inner.map(lambda text: (f"{quote}{text}{quote}", "'?'"))


HIDDEN = quoted("'") | st.sampled_from(
    [(f"${tag}${SECRET} ' \" -- ${tag}$", "'?'") for tag in ("", "body")] + [("0xdeadBEEF", "'?'")]
)
DOUBLE = quoted('"')
PARTS = KEPT.map(lambda text: (text, text)) | HIDDEN


@given(st.lists(PARTS | DOUBLE), st.sampled_from(["mysql", "mariadb"]))
def test_texts_in_both_quotes_of_mysql(parts: list[tuple[str, str]], system: str) -> None:
    shown = without_values(" ".join(text for text, _ in parts), system)
    assert shown == " ".join(text for _, text in parts)


@given(
    st.lists(PARTS | DOUBLE.map(lambda part: (part[0], part[0]))),
    st.sampled_from(["postgresql", "sqlite", "oracle"]),
)
def test_names_in_double_quotes_of_the_others(parts: list[tuple[str, str]], system: str) -> None:
    shown = without_values(" ".join(text for text, _ in parts), system)
    assert shown == " ".join(text for _, text in parts)


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SET PASSWORD FOR 'nova'@'%' = 'secret'", "SET PASSWORD FOR '?'@'?' = '?'"),
        (r"SELECT 'it\'s', 'secret'", "SELECT '?'..."),
        (r"SELECT E'\'', 'secret'", "SELECT E'?'..."),
        (r"SELECT a FROM b WHERE c ~ \d", r"SELECT a FROM b WHERE c ~ \d"),
        ("SELECT 'not closed, secret", "SELECT '?'"),
        ("/* not closed 'secret", "/* not closed 'secret"),
        ("SELECT x'00ff', b'01', f(0xA)", "SELECT x'?', b'?', f('?')"),
    ],
)
def test_examples(statement: str, shown: str) -> None:
    assert without_values(statement, "postgresql") == shown


@pytest.mark.parametrize("repeated", ["'", "''a", '"', "$", "$a", "/*", "--", "0x", "`", "$$a$"])
def test_no_statement_takes_long_to_read(repeated: str) -> None:
    without_values("SELECT '" + repeated * 100_000, "mysql")
    without_values("SELECT " + repeated * 100_000, "sqlite")

# SPDX-License-Identifier: Apache-2.0
"""A slow reader of text expositions with quoted names, as the documentation describes them.

It knows nothing of types; a sample that it does not understand is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator

Sample = tuple[str, tuple[tuple[str, str], ...], str]

_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


def samples(exposition: str) -> list[Sample]:
    """Return name, sorted labels and number of each sample, sorted; exemplars are left out."""
    lines = exposition.split("\n")
    return sorted(map(_sample, (line for line in lines if line and line[0] != "#")))


def families(exposition: str) -> list[str]:
    """Return the name in each TYPE line."""
    lines = (line for line in exposition.split("\n") if line.startswith("# TYPE "))
    return [_name(_Characters(line.removeprefix("# TYPE ")), " ") for line in lines]


class _Characters:
    """The characters of a line that are left."""

    def __init__(self, line: str) -> None:
        self._left: Iterator[str] = iter(line)
        self.next = next(self._left, "")

    def take(self, wanted: str = "") -> str:
        """Return the next character, which has to be the wanted one."""
        taken = self.next
        if not taken or taken != (wanted or taken):
            raise ValueError(f"{taken!r} where {wanted!r} belongs")
        self.next = next(self._left, "")
        return taken


def _quoted(left: _Characters) -> str:
    """Read a text between quotes."""
    left.take('"')
    text = ""
    while left.next != '"':
        character = left.take()
        text += _ESCAPED[left.take()] if character == "\\" else character
    left.take('"')
    return text


def _name(left: _Characters, ends: str) -> str:
    """Read a name, with quotes or up to one of the characters that end it."""
    if left.next == '"':
        return _quoted(left)
    name = ""
    while left.next not in ends:
        name += left.take()
    return name


def _sample(line: str) -> Sample:
    left = _Characters(line)
    name = _name(left, "{ ")
    labels = []
    if left.next == "{":
        while left.take() != "}":
            text = _name(left, "=")
            if left.next == "=":
                left.take("=")
                labels.append((text, _quoted(left)))
            elif name:
                raise ValueError(f"a second name {text!r}")
            else:
                name = text
    left.take(" ")
    return name, tuple(sorted(labels)), _name(left, " ")

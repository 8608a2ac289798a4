# SPDX-License-Identifier: Apache-2.0
"""A line in the form in which it is delivered, whether it was polled or pushed. Examples:

    type=metric unit=web.service kind=systemd thread.count=5 thread.active=2
    type=metric appName=A gear=G app=U ns=N quota.blocks.used=920 quota.blocks.limit=1048576

Whatever a unit is named, it is one line of printable characters: what would end a word or a line
is written as \\x20.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from shmetrics.lines.line import IDENTITY, Line
from shmetrics.lines.owner import Owner

MOST_BYTES = 1024  # OpenShift's MAX_CGROUPS_METRICS_MESSAGE_LENGTH
_TYPE = "type=metric"
# What a message takes beside its text, roughly; see sys.getsizeof.
_OBJECT_BYTES = 400


class Message(NamedTuple):
    """A message.

    Attributes:
        time_ns: the time at which the line was taken, in nanoseconds since 1970.
        unit: the name of the unit, as it is.
        kind: the kind of the unit.
        text: the line, without an end.
    """

    time_ns: int
    unit: str
    kind: str
    text: str

    @property
    def size_bytes(self) -> int:
        """Return about how much memory it takes."""
        return _OBJECT_BYTES + len(self.text.encode()) + len(self.unit)


class Composed(NamedTuple):
    """The messages of a line.

    Attributes:
        messages: messages of whole metrics, each no longer than is allowed.
        n_too_long: metrics that no message has room for.
    """

    messages: tuple[Message, ...]
    n_too_long: int


def compose(owner: Owner, line: Line, time_ns: int, most_bytes: int = MOST_BYTES) -> Composed:
    """Return the messages of an accepted line.

    Args:
        owner: the unit. What is known of it comes first; if nothing is, its name and kind do.
        line: the line, which `owner.check` has compared with the unit.
        time_ns: the time of the line.
        most_bytes: the length of a message. A longer line is split between metrics.
    """
    known = owner.known or {"unit": owner.unit, "kind": owner.kind}
    said = {key: value for key, value in line.metadata.items() if key not in IDENTITY | set(known)}
    head = " ".join(
        (_TYPE, *(f"{key}={_word(value)}" for key, value in [*known.items(), *said.items()]))
    )
    metrics = [f"{metric.key}={metric.text}" for metric in line.metrics]
    room = most_bytes - len(head.encode())
    fitting = [metric for metric in metrics if len(metric) < room]
    messages = tuple(
        Message(time_ns, owner.unit, owner.kind, f"{head} {' '.join(part)}")
        for part in _parts(fitting, room)
    )
    return Composed(messages, len(metrics) - len(fitting))


def _parts(words: list[str], room: int) -> Iterator[list[str]]:
    """Yield words, which are ASCII, in parts that fit; each word has a space before it."""
    part: list[str] = []
    left = room
    for word in words:
        if part and len(word) >= left:
            yield part
            part, left = [], room
        part.append(word)
        left -= len(word) + 1
    if part:
        yield part


def _word(text: str) -> str:
    """Return a value as one word of printable characters."""
    return "".join(c if c.isprintable() and c != " " else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    raw = character.encode(errors="surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in raw)

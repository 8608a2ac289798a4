# SPDX-License-Identifier: Apache-2.0
"""The decoding of a datagram of oslo.metrics's protocol. An example:

{"module": "oslo_messaging", "name": "rpc_client_processing_seconds",
 "action": {"action": "observe", "value": 0.02},
 "labels": {"topic": "compute", "method": "build", "fanout": null, ...}}
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import msgspec

from shmetrics.oslo_families import RPC_CLIENT, RPC_SERVER, TARGET_LABELS, without_uuids
from shmetrics.sample_names import CALL_ENDS, CALL_EXCEPTIONS, CALL_SECONDS, CALL_STARTS, TOTAL

MODULE = "oslo_messaging"
FAMILIES = (RPC_CLIENT, RPC_SERVER)  # the families that the protocol has events of
MAX_SECONDS = 1e8  # three years: a longer duration is an error

Verb = Literal["start", "end", "observe", "exception"]


class Refused(Exception):
    """A datagram is refused. Its reason is a label value, its message one line for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class CallEvent(NamedTuple):
    """The event in a datagram.

    Attributes:
        family: the prefix of a family of calls.
        verb: the kind of event.
        labels: the values by label name.
        seconds: the observed duration, 0 for other events.
    """

    family: str
    verb: Verb
    labels: dict[str, str]
    seconds: float


class _Action(msgspec.Struct):
    action: str
    value: float | None = None


class _Message(msgspec.Struct):
    module: str
    name: str
    action: _Action
    labels: dict[str, str | int | float | bool | None]


_VERBS: dict[str, tuple[Verb, str]] = {
    CALL_STARTS + TOTAL: ("start", "inc"),
    CALL_ENDS + TOTAL: ("end", "inc"),
    CALL_SECONDS: ("observe", "observe"),
    CALL_EXCEPTIONS + TOTAL: ("exception", "inc"),
}
_METRICS = {
    family.name.removeprefix(f"{MODULE}_") + suffix: (family.name, verb, action)
    for family in FAMILIES
    for suffix, (verb, action) in _VERBS.items()
}
_decoder = msgspec.json.Decoder(_Message)


def decode(datagram: bytes) -> CallEvent:
    """Return the event in a datagram. Raises Refused, and no other exception."""
    try:
        message = _decoder.decode(datagram)
    except msgspec.ValidationError as error:
        raise Refused("bad_message", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused("not_json", str(error)) from None
    except RecursionError:
        raise Refused("not_json", "too deeply nested") from None
    if message.module != MODULE:
        raise Refused("unknown_module", f"module {message.module!r} is not {MODULE!r}")
    if message.name not in _METRICS:
        raise Refused("unknown_metric", f"there is no metric {message.name!r}")
    family, verb, action = _METRICS[message.name]
    if message.action.action != action:
        raise Refused(
            "bad_action", f"{message.name} takes {action!r}, not {message.action.action!r}"
        )
    labels = {
        name: without_uuids(label_text(value)) if name in TARGET_LABELS else label_text(value)
        for name, value in message.labels.items()
    }
    return CallEvent(family, verb, labels, _seconds(message, verb))


def label_text(value: str | float | None) -> str:
    """Return the value of a label as text: "" for None, and whole seconds without `.0`."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_SECONDS:
        return str(int(value))
    return str(value)


def _seconds(message: _Message, verb: Verb) -> float:
    value = message.action.value
    if verb == "observe":
        if value is None or not math.isfinite(value) or not 0 <= value <= MAX_SECONDS:
            raise Refused("bad_value", f"{message.name}: {value!r} is not a duration in seconds")
        return value
    if value not in (None, 1):  # a counter goes up by one; senders leave the value out
        raise Refused("bad_value", f"{message.name}: {value!r} where a count of one is meant")
    return 0.0

# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of what Python reads: one function per kind of message, for atheris.

    python -m tests.verify.fuzz.messages TARGET [libFuzzer's options] [corpus...]

Each takes any bytes. It ends well, or with what the reader's docstring names; and what was read,
written again, is what it was.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["shmetrics", "tomllib"]):
    from shmetrics import config, definitions, dictionary
    from shmetrics.config import node_conf as node_confs
    from shmetrics.delivery.message import MOST_BYTES, compose
    from shmetrics.errors import ConfigError
    from shmetrics.label_rules import rule
    from shmetrics.lines.line import LIMITS, Metric, Refused, parse
    from shmetrics.lines.owner import Owner
    from shmetrics.probes import manifest as manifests
    from shmetrics.probes.spawner import protocol as spawning
    from shmetrics.registration import protocol
    from shmetrics.render import negotiation
    from shmetrics.sample_names import sample_names
    from shmetrics.sources.oslo_metrics import message

_FILE = os.memfd_create("options")


def hello(data: bytes) -> None:
    """The first message of an emitter."""
    with contextlib.suppress(protocol.ProtocolError):
        found = protocol.decode_hello(data)
        again = protocol.encode_hello(found)
        assert protocol.decode_hello(again) == found
        # Others may send fewer or more of the fields that came later.
        assert again == data or len(again) != len(data)
    name = data.decode("utf-8", "surrogateescape")
    said = protocol.encode_hello(protocol.Hello(1, len(data), name))
    assert len(said) <= protocol.MESSAGE_MAX_BYTES
    assert protocol.decode_hello(said).records == len(data)


def answer(data: bytes) -> None:
    """The answer of a collector."""
    with contextlib.suppress(protocol.ProtocolError):
        found = protocol.decode_answer(data)
        again = protocol.encode_answer(found, int.from_bytes(data[4:6], sys.byteorder))
        assert len(data) > protocol.ANSWER_MAX_BYTES or again == data
    text = data.decode("utf-8", "surrogateescape")
    said = protocol.encode_answer(protocol.Answer(protocol.Result.UID, 1, len(data), text))
    assert len(said) <= protocol.ANSWER_MAX_BYTES
    assert protocol.decode_answer(said).lane_id == len(data)


def label_rules(data: bytes) -> None:
    """The label rules of a grant."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        found = rule.decode(text)
        again = rule.encode(found, len(text.encode()))
        assert rule.decode(again) == found


def strings(data: bytes) -> None:
    """The label values of a series."""
    with contextlib.suppress(ValueError):
        found = dictionary.decode_strings(data)
        again = dictionary.encode_strings(found)
        assert data.startswith(again)
        assert not any(data[len(again) :])


def definition(data: bytes) -> None:
    """A family: its type, its number of bounds, its payload."""
    if len(data) < 2:
        return
    type, n_bounds, payload = data[0], data[1], data[2:]
    try:
        found = dictionary.decode_definition(type, n_bounds, payload)
    except (ValueError, struct.error):
        return
    again = dictionary.encode_definition(found)
    assert payload.startswith(again)
    refused = definitions.check(found)
    if refused is not None:
        assert "\n" not in refused.text
        return
    assert all(map(math.isfinite, found.bounds))
    assert sorted(set(found.bounds)) == list(found.bounds)
    assert all(name.isascii() for name in sample_names(found))


def datagram(data: bytes) -> None:
    """A datagram of oslo.metrics's protocol."""
    try:
        found = message.decode(data)
    except message.Refused as refused:
        assert refused.reason
        return
    assert 0 <= found.seconds <= message.MAX_SECONDS
    assert all(isinstance(text, str) for pair in found.labels.items() for text in pair)


def accept(data: bytes) -> None:
    """The headers of a scrape, as starlette decodes them."""
    first, _, second = data.decode("latin-1").partition("\n")
    found = negotiation.choose(first, second)
    assert found.content_type.startswith(("text/plain", "application/openmetrics-text"))


def options(data: bytes) -> None:
    """A configuration file."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    path = f"/proc/self/fd/{_FILE}"
    try:
        config.load(path)
    except ConfigError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)


def wish(data: bytes) -> None:
    """The wish of a gatherer to the spawner, which may be root; and the answer."""
    for decode in (spawning.decode_wish, spawning.decode_answer):
        try:
            found = decode(data)
        except spawning.ProtocolError as error:
            assert "\n" not in str(error)
            continue
        assert decode(spawning.encode(found)) == found
        if isinstance(found, spawning.Run):
            assert not any("\0" in text for text in (*found.command, *found.environment))
            assert 0 <= found.timeout_seconds <= 86400


def manifest(data: bytes) -> None:
    """A cartridge's manifest."""
    try:
        found = manifests.parse(data, "m.yml")
    except manifests.BadManifest as error:
        assert str(error).startswith("m.yml: ")
        assert str(error).isprintable()
        return
    assert all(name == each.name and name.isprintable() for name, each in (found or {}).items())


def node_conf(data: bytes) -> None:
    """OpenShift's node.conf."""
    try:
        found = node_confs.parse(data.decode("utf-8", "replace"), "node.conf")
    except ConfigError as error:
        assert str(error).startswith("node.conf: ")
        assert str(error).isprintable()
        return
    assert found.interval_seconds >= 10
    assert 0 < found.script_timeout_seconds <= 3600


def line(data: bytes) -> None:
    """A line of a program's output, and what is delivered of it for a unit of odd name."""
    name, _, text = data.partition(b"|")
    try:
        found = parse(text)
    except Refused as refused:
        assert str(refused).isprintable()
        return
    if found is None:
        return
    assert all(math.isfinite(metric.value) for metric in found.metrics)
    unit = name.decode(errors="surrogateescape")
    composed = compose(Owner(unit, "k"), found, 0)
    kept: list[Metric] = []
    for each in composed.messages:
        assert each.text.isprintable()
        assert len(each.text.encode()) <= MOST_BYTES
        again = parse(each.text.encode(), LIMITS._replace(value_characters=MOST_BYTES))
        assert again is not None
        kept += again.metrics
    assert len(kept) == len(found.metrics) - composed.n_too_long
    assert composed.n_too_long or tuple(kept) == found.metrics


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        *(hello, answer, label_rules, strings, definition, datagram, accept, options),
        *(wish, manifest, node_conf),
        *(hello, answer, label_rules, strings, definition),
        *(datagram, accept, options, line),
    )
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    # libFuzzer starts itself again to merge, by a shell.
    sys.argv[0] = f"{sys.executable} -m tests.verify.fuzz.messages {target.__name__}"
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

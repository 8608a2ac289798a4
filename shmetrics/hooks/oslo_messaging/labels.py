# SPDX-License-Identifier: Apache-2.0
"""Label values, made from the raw values of targets and messages.

For each family there are two functions. The *key* function runs for every message: it reads the
attributes that decide the labels and returns them in a tuple, as cheaply as that can be done; those
of RPC are compiled, in `_messages`. The *labels* function runs once per key and does all the rest:
the default exchange, formatting, the empty string for what is missing.
"""

from typing import Any, Final, TypeAlias

from shmetrics.oslo_families import without_uuids

__all__ = [
    "notification_received_labels",
    "notification_sent_key",
    "notification_sent_labels",
    "priority_of",
    "rpc_received_labels",
    "rpc_sent_labels",
]

Key: TypeAlias = tuple[Any, ...]
Labels: TypeAlias = dict[str, str]

#: The label `method` of messages that no endpoint answers, and of those that none hears.
UNKNOWN: Final = "__unknown__"

#: The endings that oslo.messaging's notifiers give to a topic.
PRIORITIES: Final = frozenset({"audit", "debug", "info", "warn", "error", "critical", "sample"})


def rpc_sent_labels(key: Key, default_exchange: Any) -> Labels:
    """Return the labels of ``oslo_messaging_rpc_client``, without the process."""
    is_cast, exchange, topic, namespace, version, server, fanout, method, timeout_seconds = key
    return {
        "call_type": "cast" if is_cast else "call",
        "exchange": name(exchange or default_exchange),
        "topic": name(topic),
        "namespace": text(namespace),
        "version": text(version),
        "server": name(server),
        "fanout": "" if fanout is None else str(bool(fanout)),
        "method": text(method),
        "timeout": number(timeout_seconds),
    }


def rpc_received_labels(
    key: Key, target: Any, default_exchange: Any, endpoint: str | None
) -> Labels:
    """Return the labels of ``oslo_messaging_rpc_server``, without the process.

    All messages that no endpoint answers have the same: what they ask for is whatever a stranger
    has written.

    Args:
        key: the raw values of the message: namespace, version and method.
        target: the target that the server listens on.
        default_exchange: the exchange if the target has none.
        endpoint: the class name of the endpoint; None: no endpoint answers.
    """
    namespace, version, method = key if endpoint is not None else ("", "", UNKNOWN)
    return {
        "exchange": name(target.exchange or default_exchange),
        "topic": name(target.topic),
        "server": name(target.server),
        "endpoint": endpoint or "",
        "namespace": text(namespace),
        "version": text(version),
        "method": text(method),
    }


def notification_sent_key(target: Any, message: Any, args: Any, kwargs: Any) -> Key:
    """Return the key of a message given to ``send_notification``; *args* begins with a version."""
    return (
        target.exchange,
        target.topic,
        message.get("priority"),
        message.get("event_type"),
        args[0] if args else kwargs.get("version"),
    )


def notification_sent_labels(key: Key, default_exchange: Any) -> Labels:
    """Return the labels of ``oslo_messaging_notification_client``, without the process.

    A notifier sends to ``<topic>.<priority>``; the label ``topic`` is the configured one, so that
    it equals the listener's.
    """
    exchange, routing, priority, event_type, version = key
    topic, _, ending = text(routing).rpartition(".")
    if not topic or ending not in {*PRIORITIES, priority_of(priority)}:
        topic, ending = text(routing), ""
    return {
        "exchange": name(exchange or default_exchange),
        "topic": name(topic),
        "priority": priority_of(priority) or ending,
        "event_type": text(event_type),
        "version": text(version),
    }


def notification_received_labels(
    exchange: str, topic: str, priority: Any, event: Any, is_heard: bool = True
) -> Labels:
    """Return the labels of ``oslo_messaging_notification_server``, without the process.

    Args:
        exchange: where the message was sent to, as is the topic.
        topic: without its priority.
        priority: the message's own, as is the type of the event.
        event: the type of the event.
        is_heard: whether an endpoint hears this priority. All messages that none hears have the
            same labels: what they say is whatever a stranger has written.
    """
    if not is_heard:
        priority = event = UNKNOWN
    return {
        "exchange": name(exchange),
        "topic": name(topic),
        "priority": priority_of(priority),
        "event_type": text(event),
    }


def priority_of(value: Any) -> str:
    """Return a message's ``priority`` as topics spell it: messages say INFO, topics say info."""
    return text(value).lower()


def name(value: Any) -> str:
    """Return the label value for the name of a target: see `shmetrics.oslo_families`."""
    return without_uuids(text(value))


def text(value: Any) -> str:
    """Return a label value: the empty string for None."""
    return "" if value is None else str(value)


def number(value: Any) -> str:
    """Return a number of seconds as people write it: 60 and 60.0 are "60", 2.5 is "2.5"."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return text(value)

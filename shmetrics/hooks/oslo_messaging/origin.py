# SPDX-License-Identifier: Apache-2.0
"""Where a notification came in, for a listener on several topics or exchanges.

An incoming notification does not say which of its listener's targets it was sent to. With one
target there is nothing to ask. With several, a broker's delivery information tells them apart where
the real driver keeps it (kombu's message inside rabbit's); if that moves, or a driver has none, the
label that is in doubt is the empty string.
"""

from typing import Any

from shmetrics.hooks.oslo_messaging.labels import priority_of, text

__all__ = ["Origins"]


class Origins:
    """The exchanges and topics of one notification listener.

    *targets_and_priorities* is what ``listen_for_notifications`` was given.
    """

    def __init__(self, targets_and_priorities: Any, default_exchange: Any) -> None:
        self._known = {
            (text(target.exchange or default_exchange), text(target.topic))
            for target, _priority in targets_and_priorities
        }
        exchanges = {exchange for exchange, _topic in self._known}
        topics = {topic for _exchange, topic in self._known}
        self._certain = (
            exchanges.pop() if len(exchanges) == 1 else "",
            topics.pop() if len(topics) == 1 else "",
        )

    def of(self, message: Any) -> tuple[str, str]:
        """Return exchange and topic of *message*, each "" if it cannot be told."""
        if len(self._known) == 1:
            return self._certain
        delivery = getattr(getattr(message, "_raw_message", None), "delivery_info", None)
        if not isinstance(delivery, dict):
            return self._certain
        topic = text(delivery.get("routing_key"))
        topic = topic.removesuffix("." + priority_of(message.get("priority")))
        found = (text(delivery.get("exchange")), topic)
        return found if found in self._known else self._certain

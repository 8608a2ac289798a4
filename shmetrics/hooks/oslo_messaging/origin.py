# SPDX-License-Identifier: Apache-2.0
"""The exchange and topic of a notification, for a listener on several of them.

An incoming notification does not name the target that it was sent to. A listener on one target
knows it. A listener on several reads the broker's delivery information where the real driver keeps
it (kombu's message inside rabbit's). If a driver has none, or a later one moves it, the label in
doubt is the empty string.
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

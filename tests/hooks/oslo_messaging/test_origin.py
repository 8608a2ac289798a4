# SPDX-License-Identifier: Apache-2.0
"""The target of a notification, for a listener that has several."""

from types import SimpleNamespace
from typing import Any

import pytest
from oslo_messaging import Target

from shmetrics.hooks.oslo_messaging.origin import Origins


class Delivered(dict[str, Any]):
    """A message as the rabbit driver keeps it."""

    def __init__(self, exchange: str, routing_key: str) -> None:
        super().__init__(priority="INFO")
        info = {"exchange": exchange, "routing_key": routing_key}
        self._raw_message = SimpleNamespace(delivery_info=info)


def origins(*addresses: tuple[str | None, str]) -> Origins:
    pairs = [(Target(exchange=exchange, topic=topic), "info") for exchange, topic in addresses]
    return Origins(pairs, "openstack")


def test_one_address_needs_no_question() -> None:
    assert origins((None, "n")).of({}) == ("openstack", "n")


def test_delivery_information_tells_addresses_apart() -> None:
    several = origins((None, "a"), (None, "b"), ("nova", "b"))
    assert several.of(Delivered("openstack", "a.info")) == ("openstack", "a")
    assert several.of(Delivered("nova", "b.info")) == ("nova", "b")


@pytest.mark.parametrize("message", [{}, Delivered("elsewhere", "a.info"), Delivered("nova", "")])
def test_what_cannot_be_told_is_empty_and_what_is_common_is_not(message: Any) -> None:
    assert origins((None, "a"), (None, "b")).of(message) == ("openstack", "")
    assert origins((None, "a"), ("nova", "a")).of(message) == ("", "a")


def test_delivery_information_that_moved_leaves_the_label_empty() -> None:
    message = Delivered("openstack", "a.info")
    message._raw_message = SimpleNamespace(delivery=message._raw_message.delivery_info)
    assert origins((None, "a"), (None, "b")).of(message) == ("openstack", "")

# SPDX-License-Identifier: Apache-2.0
"""Raw values to label values, and exceptions to their names."""

from types import SimpleNamespace
from typing import Any

import oslo_messaging
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.hooks.oslo_messaging import labels, raised
from shmetrics.oslo_families import TARGET_LABELS


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (60, "60"), (60.0, "60"), (2.5, "2.5"), (0, "0"), (1e300, "1e+300"), ("7", "7")],
)
def test_timeouts_are_shown_as_given(seconds: Any, shown: str) -> None:
    assert labels.number(seconds) == shown


@pytest.mark.parametrize(
    ("topic", "priority", "shown"),
    [
        ("notifications.info", "INFO", ("notifications", "info")),
        ("notifications.info", None, ("notifications", "info")),
        ("notifications.mine", "mine", ("notifications", "mine")),
        ("my.topic", "INFO", ("my.topic", "info")),
        ("my.topic", None, ("my.topic", "")),
        ("info", None, ("info", "")),
    ],
)
def test_a_priority_comes_from_the_message_or_the_topic(
    topic: str, priority: str | None, shown: tuple[str, str]
) -> None:
    made = labels.notification_sent_labels((None, topic, priority, None, 1.0), "nova")
    assert (made["topic"], made["priority"]) == shown


@given(st.tuples(*[st.none() | st.text() | st.integers() | st.booleans()] * 9))
def test_any_key_makes_labels_that_are_text(key: Any) -> None:
    made = labels.rpc_sent_labels(key, None)
    assert all(isinstance(value, str) for value in made.values())


HEX = "0123456789abcdef0123456789ABCDEF"
DASHED = "01234567-89ab-cdef-0123-456789ABCDEF"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (DASHED, "__uuid__"),
        (HEX, "__uuid__"),
        (f"engine-{DASHED}", "engine-__uuid__"),
        (f"guestagent.{HEX}.x.{DASHED}", "guestagent.__uuid__.x.__uuid__"),
        ("host-a", "host-a"),
        (HEX[:31], HEX[:31]),
        (f"{HEX}0", f"{HEX}0"),  # a longer number is something else
        ("01234567-89abcdef-0123-456789abcdef", "01234567-89abcdef-0123-456789abcdef"),
    ],
)
def test_a_uuid_in_the_name_of_a_target_is_no_label(name: str, shown: str) -> None:
    target = SimpleNamespace(exchange=name, topic=name, server=name)
    sent = labels.rpc_sent_labels((0, name, name, None, None, name, None, "m", 60), None)
    received = labels.rpc_received_labels((None, None, "m"), target, None, "E")
    for made in (sent, received):
        assert {made[label] for label in TARGET_LABELS} == {shown}
    told = labels.notification_sent_labels((name, f"{name}.info", "INFO", "e", "2.0"), None)
    heard = labels.notification_received_labels(name, name, "INFO", "e")
    for made in (told, heard):
        assert (made["exchange"], made["topic"]) == (shown, shown)


class Strange_Remote(Exception):  # noqa: N801
    """An exception with the suffix of those that oslo.messaging rebuilds, in a module without
    it."""


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError(), "ValueError"),
        (oslo_messaging.MessagingTimeout("t"), "MessagingTimeout"),
        (oslo_messaging.RemoteError("DiskFull", "v", "tb"), "DiskFull"),
        (oslo_messaging.RemoteError(), "RemoteError"),
        (type("Full_Remote", (Exception,), {"__module__": "nova_Remote"})(), "Full"),
        (Strange_Remote(), "Strange_Remote"),
    ],
)
def test_the_name_of_an_exception(error: BaseException, name: str) -> None:
    assert raised.name_of_raised(error) == name
    assert raised.name_of_failure(error) == name
    assert raised.name_of_failure((type(error), error, None)) == name


def test_a_remote_error_that_moved_is_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    error = oslo_messaging.RemoteError("DiskFull")
    del error.exc_type
    assert raised.name_of_raised(error) == "RemoteError"

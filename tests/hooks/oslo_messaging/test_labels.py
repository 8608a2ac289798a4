# SPDX-License-Identifier: Apache-2.0
"""Raw values to label values, and exceptions to their names."""

from typing import Any

import oslo_messaging
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.hooks.oslo_messaging import labels, raised


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

# SPDX-License-Identifier: Apache-2.0
"""The options of one probe: a command that prints metrics."""

from __future__ import annotations

import os
import pwd
from typing import Annotated, Literal

from msgspec import Meta

from shmetrics.config.section import Section

MOST_PROBES = 1000

Format = Literal["lines", "prometheus"]


class ProbeOptions(Section, frozen=True, kw_only=True):
    """A command that prints metrics on STDOUT, and is run at an interval. By default there is
    none."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=100,
            pattern=r"^[A-Za-z0-9_.:@-]+\Z",
            description="Name of the probe: letters, digits and . _ : @ -",
        ),
    ]
    command: Annotated[
        list[Annotated[str, Meta(max_length=4096)]],
        Meta(
            max_length=64,
            description="The absolute path of the program, and its arguments. No shell: for one, "
            'write ["/bin/sh", "-c", "..."].',
        ),
    ]
    interval_seconds: Annotated[
        float, Meta(ge=1, le=86400, description="Time between two starts.")
    ] = 60.0
    timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=3600,
            description="Time after which it is ended, with all that it has started.",
        ),
    ] = 1.0
    user: Annotated[
        int | str,
        Meta(
            description="The user who runs it, by number or name. Empty: the user of the spawner, "
            "if that is not root."
        ),
    ] = ""
    format: Annotated[
        Format,
        Meta(
            description='What it prints: "lines" as type=metric thread.count=5, or '
            '"prometheus", the text format.'
        ),
    ] = "lines"

    def __post_init__(self) -> None:
        if not self.command or not os.path.isabs(self.command[0]):
            raise ValueError(
                f"command: {self.command!r} does not begin with the absolute path of a program"
            )
        if any("\0" in word for word in self.command):
            raise ValueError("command: a word has a NUL in it")
        if self.timeout_seconds > self.interval_seconds:
            raise ValueError(
                f"timeout_seconds: {self.timeout_seconds:g} is longer than interval_seconds, "
                f"{self.interval_seconds:g}"
            )
        self.uid(0)

    def uid(self, own_uid: int) -> int:
        """Return the number of the user who runs it; own_uid if none is named.

        Raises:
            ValueError: there is no such user.
        """
        return own_uid if self.user == "" else user_number("user", self.user)


def user_number(option: str, user: int | str) -> int:
    """Return the number of a user. Raises ValueError, whose text begins with the option."""
    if isinstance(user, int):
        if not 0 <= user < 2**32 - 1:
            raise ValueError(f"{option}: {user} is not the number of a user")
        return user
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise ValueError(f"{option}: there is no user {user!r} on this node") from None


EXAMPLE = ProbeOptions(name="queue", command=["/usr/local/bin/queue-metrics"])

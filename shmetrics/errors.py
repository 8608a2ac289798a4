# SPDX-License-Identifier: Apache-2.0
"""The exceptions of shmetrics. A message is one line: what is wrong, where, and how to mend it."""

MOST_CHARACTERS = 2000  # of a message, which may quote a file


class ShmetricsError(Exception):
    """The base of all errors of this package.

    Attributes:
        exit_status: the exit status of a command that fails with it.
    """

    exit_status = 1

    def __str__(self) -> str:
        text = super().__str__()
        if len(text) > MOST_CHARACTERS:
            half = MOST_CHARACTERS // 2
            text = f"{text[:half]}...{text[-half:]}"
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class ConfigError(ShmetricsError):
    """A bad invocation or configuration; the message names file, key and value."""

    exit_status = 2


class LaneRefused(ShmetricsError):
    """A mapping is not a lane that this version can use; args[0] is the name of the reason."""


class BrokenLane(ShmetricsError):
    """A lane breaks the contract of the layout; args[0] is the name of the reason."""

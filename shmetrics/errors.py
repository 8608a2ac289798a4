# SPDX-License-Identifier: Apache-2.0
"""Everything shmetrics raises. Each message is one line: what is wrong, where, and the mend."""


class ShmetricsError(Exception):
    """Base of all errors of this package. exit_status: what a command leaves with."""

    exit_status = 1


class ConfigError(ShmetricsError):
    """A bad invocation or configuration; the message names file, key and value."""

    exit_status = 2


class LaneRefused(ShmetricsError):
    """A mapping is not a lane that this version can use; args[0] is the reason's name."""


class BrokenLane(ShmetricsError):
    """A lane breaks the contract; args[0] is the reason's name."""

# SPDX-License-Identifier: Apache-2.0
"""The fixtures of an emitter's tests."""

from tests.emitter.conftest import loopback, name, node

__all__ = ["loopback", "name", "node"]

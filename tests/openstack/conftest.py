# SPDX-License-Identifier: Apache-2.0
"""The servers of the suite, and its result.

Nothing here is part of `make test`: `make openstack` runs it.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterator

import pytest

from tests.openstack.environments import BUILD
from tests.openstack.result import Result
from tests.servers import redis as redis_server
from tests.servers.redis import Redis

__all__ = ["redis", "result"]


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """Yield a Redis server: a service's own data is in its database 0, OSProfiler's in 1."""
    assert not redis_server.lacking(), redis_server.lacking()
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def result() -> Iterator[Result]:
    """Yield what is known of the run in the end; it is written to build/openstack/result.md."""
    found = Result(datetime.date.today().isoformat(), platform.python_version())
    yield found
    (BUILD / "result.md").write_text(found.text())

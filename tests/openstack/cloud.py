# SPDX-License-Identifier: Apache-2.0
"""A service that talks over a broker, with which a test starts it several times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeVar

from tests.openstack.deployment import Sections
from tests.openstack.environments import Environment
from tests.openstack.telemetry import Telemetry, telemetry
from tests.servers.rabbitmq import RabbitMQ

__all__ = ["PREFIX", "Cloud"]

PREFIX: Final = "shmetrics+"
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Service(Protocol):
    def start_all(self) -> None: ...
    def close(self) -> None: ...


S = TypeVar("S", bound=Service)


class Cloud(Generic[S]):
    """A kind of service, the environment that it is installed in, a folder and a broker."""

    def __init__(
        self, kind: Callable[..., S], environment: Environment, folder: Path, rabbitmq: RabbitMQ
    ) -> None:
        """Do nothing yet. kind: is called as a `Deployment`, with sections of configuration."""
        self._kind = kind
        self._environment = environment
        self._folder = folder
        self._transport_url = rabbitmq.url

    @contextmanager
    def run(
        self,
        connection_string: str = "shm://",
        profiler: Mapping[str, Any] = NOTHING,
        more: Sections = NOTHING,
        prefix: str = PREFIX,
    ) -> Iterator[tuple[S, Telemetry]]:
        """Run the service until the block ends.

        Args:
            connection_string: where OSProfiler's spans go.
            profiler: more options of `[profiler]`.
            more: more sections.
            prefix: of the broker's URL; "": shmetrics is switched off.
        """
        with telemetry(self._folder) as measured:
            options = dict(measured.options(prefix + self._transport_url, connection_string))
            options["profiler"] = {**options["profiler"], **profiler}
            variables = measured.variables
            service = self._kind(self._environment, self._folder, variables, options, more)
            try:
                service.start_all()
                yield service, measured
            finally:
                service.close()

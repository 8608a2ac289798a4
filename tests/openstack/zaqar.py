# SPDX-License-Identifier: Apache-2.0
"""Zaqar: its WSGI server, with Redis or SQLite, and a client that is told what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.openstack.api import Api, is_listening
from tests.openstack.deployment import Deployment, Sections
from tests.openstack.environments import Environment
from tests.openstack.telemetry import KEY
from tests.servers.ports import ReservedPort

__all__ = ["PACKAGES", "Zaqar"]

PACKAGES: Final = ("zaqar", "python-zaqarclient", "osprofiler", "redis", "pymongo", "uwsgi")
CLIENT: Final = Path(__file__).parent / "programs" / "zaqar_client.py"
PROJECT: Final = "5f1b6ce9d4c64ad0a5a7f0c7b1f3d3c1"
HEADERS: Final = {
    "X-Project-Id": PROJECT,
    "X-Roles": "admin",
    "Client-ID": "2f3d5c86-7f5c-4a6e-8f4f-1c7b7d0a7a10",
}

#: Zaqar's own switches, all on.
OWN_SWITCHES: Final = {
    "trace_wsgi_transport": True,
    "trace_message_store": True,
    "trace_management_store": True,
}


class Zaqar(Deployment):
    """A server, and the clients that talk to it."""

    def __init__(
        self, environment: Environment, folder: Path, variables: dict[str, str], *sections: Sections
    ) -> None:
        """Write the configuration.

        sections: of zaqar.conf, over those that are written here.
        """
        # As an application of uWSGI it looks for its configuration in known places only.
        super().__init__(environment, folder, {**variables, "HOME": str(folder)})
        self._port = ReservedPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self.api = Api(f"{self.url}/v2", HEADERS)
        self._conf = self.write("zaqar.conf", self._sections(), *sections)

    def _sections(self) -> Sections:
        return {
            "DEFAULT": {"pooling": True, "admin_mode": True},
            "drivers": {"transport": "wsgi", "message_store": "redis", "management_store": "redis"},
            "drivers:transport:wsgi": {"bind": "127.0.0.1", "port": self._port.number},
            "pooling:catalog": {"enable_virtual_pool": True},
        }

    def start_server(self, name: str = "zaqar-server") -> None:
        port = self._port.number
        self.start(
            name, lambda log: is_listening(port), "zaqar-server", "--config-file", self._conf
        )

    def start_workers(self, name: str = "zaqar-uwsgi", processes: int = 2) -> None:
        """Start uWSGI with workers that it forks after it has loaded the application."""
        module = "zaqar.transport.wsgi.app:application"
        self.start_wsgi(name, module, self._port.number, "--processes", processes)

    def client(self, *steps: str, key: str = KEY, base_id: str = "") -> Any:
        """Have python-zaqarclient do these steps, within a trace; return its base id and what it
        saw."""
        arguments = json.dumps(
            {"url": self.url, "project": PROJECT, "key": key, "base_id": base_id, "steps": steps}
        )
        return json.loads(self.run("python", CLIENT, arguments))

    def close(self) -> None:
        self.stop()
        self._port.release()

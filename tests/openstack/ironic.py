# SPDX-License-Identifier: Apache-2.0
"""Ironic: its API and a conductor, with fake hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.openstack.api import Api
from tests.openstack.deployment import Deployment, Sections
from tests.openstack.environments import Environment
from tests.servers.patience import until
from tests.servers.ports import ReservedPort

__all__ = ["PACKAGES", "Ironic"]

PACKAGES: Final = ("ironic", "osprofiler", "redis", "uwsgi")
SQLITE: Final = str(Path(__file__).with_name("sqlite"))
HEADERS: Final = {"X-OpenStack-Ironic-API-Version": "1.90"}
FAKE: Final = ("bios", "boot", "deploy", "management", "power", "raid", "vendor")
NONE: Final = ("console", "firmware", "inspect", "network", "rescue", "storage")


class Ironic(Deployment):
    """An API and a conductor, with the same ironic.conf."""

    def __init__(
        self, environment: Environment, folder: Path, variables: dict[str, str], *sections: Sections
    ) -> None:
        """Write the configuration, and make the tables if there are none in this folder.

        sections: of ironic.conf, over those that are written here.
        """
        super().__init__(
            environment, folder, {**variables, "HOME": str(folder), "PYTHONPATH": SQLITE}
        )
        self._port = ReservedPort()
        self.api = Api(f"http://127.0.0.1:{self._port.number}/v1", HEADERS)
        self._conf = self.write("ironic.conf", self._sections(), *sections)
        if not (folder / "ironic.sqlite").exists():
            self.run("ironic-dbsync", "--config-file", self._conf, "create_schema")

    def _sections(self) -> Sections:
        interfaces = dict.fromkeys(FAKE, "fake") | {name: f"no-{name}" for name in NONE}
        interfaces |= {"network": "noop", "storage": "noop"}
        enabled = {f"enabled_{name}_interfaces": kind for name, kind in interfaces.items()}
        defaults = {f"default_{name}_interface": kind for name, kind in interfaces.items()}
        return {
            "DEFAULT": {
                "host": "node-1",
                "auth_strategy": "noauth",
                "rpc_transport": "oslo",
                "enabled_hardware_types": "fake-hardware",
                "state_path": self.folder,
                **enabled,
                **defaults,
            },
            "database": {"connection": f"sqlite:///{self.folder}/ironic.sqlite"},
            "conductor": {"sync_power_state_interval": 3600},
            "sensor_data": {"send_sensor_data": False},
        }

    def start_all(self) -> None:
        self.start(
            "ironic-conductor", lambda log: "Created RPC server" in log,
            "ironic-conductor", "--config-file", self._conf,
        )  # fmt: skip
        self.start_wsgi("ironic-api", "ironic.wsgi.api", self._port.number, "--lazy-apps")
        until(lambda: self.api("GET", "/drivers")[1].get("drivers"), list, 60)

    def enroll(self, name: str, **headers: str) -> str:
        """Make a node, and return its path once it can be managed."""
        status, answer = self.api(
            "POST", "/nodes", {"name": name, "driver": "fake-hardware"}, **headers
        )
        assert status == 201, answer
        path = f"/nodes/{answer['uuid']}"
        self.provision(path, "manage", "manageable", **headers)
        return path

    def provision(self, path: str, verb: str, wanted: str, **headers: str) -> None:
        """Take a node to another state, and wait until it has it."""
        answer = self.api("PUT", f"{path}/states/provision", {"target": verb}, **headers)
        assert answer[0] == 202, answer

        def state() -> Any:
            return self.api("GET", path)[1].get("provision_state")

        until(lambda: state() == wanted, state, 60)

    def close(self) -> None:
        self.stop()
        self._port.release()

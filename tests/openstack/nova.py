# SPDX-License-Identifier: Apache-2.0
"""Nova on one machine: API, scheduler, conductor and computes with the fake driver, and placement.

Everything is stock, apart from three things: its databases are SQLite's, the API trusts the headers
of its clients instead of asking Keystone, and Glance and Neutron are stand-ins.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.openstack.api import Api
from tests.openstack.deployment import NOTHING, Deployment, Sections
from tests.openstack.environments import Environment
from tests.openstack.standin import StandIn
from tests.servers.patience import until
from tests.servers.ports import ReservedPort

__all__ = ["FOLLOWING", "IMAGE", "LARGER", "PACKAGES", "Nova"]

PACKAGES: Final = ("nova", "openstack-placement", "osprofiler", "redis", "uwsgi")
SQLITE: Final = str(Path(__file__).with_name("sqlite"))
#: One process of uWSGI with some threads, which loads the application after it is forked.
THREADS: Final = ("--threads", "4", "--lazy-apps")
#: A cell's URL that follows each node's own configuration, as docs/oslo_messaging.md has it.
FOLLOWING: Final = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
PROJECT: Final = "5f1b6ce9d4c64ad0a5a7f0c7b1f3d3c1"
FLAVOR: Final = "small"
LARGER: Final = "larger"
IMAGE: Final = "8a1d39a5-9ad9-4b7c-9ea4-8d2bd2d6b1a5"
ADMIN: Final = {
    "X-User-Id": "7c0c5b0f5f7b4d8f9d5f3a0f0f1c2b3a",
    "X-Project-Id": PROJECT,
    "X-Roles": "admin,member,reader",
    "X-Auth-Token": "admin",
    "OpenStack-API-Version": "compute 2.90",
}

_IMAGE: Final = {
    "id": IMAGE,
    "name": "image",
    "status": "active",
    "container_format": "bare",
    "disk_format": "raw",
    "size": 1,
    "min_disk": 0,
    "min_ram": 0,
    "visibility": "public",
    "protected": False,
    "owner": PROJECT,
    "tags": [],
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "file": f"/v2/images/{IMAGE}/file",
    "schema": "/v2/schemas/image",
}
IMAGES: Final = {
    f"/v2/images/{IMAGE}": _IMAGE,
    "/v2/schemas/image": {"name": "image", "properties": {name: {} for name in _IMAGE}},
}
NETWORKS: Final[dict[str, Any]] = {
    "/v2.0/ports": {"ports": []},
    "/v2.0/networks": {"networks": []},
    "/v2.0/security-groups": {"security_groups": []},
    "/v2.0/extensions": {"extensions": []},
    "/v2.0/floatingips": {"floatingips": []},
    "/v2.0/subnets": {"subnets": []},
}


class Nova(Deployment):
    """A nova whose processes are started one by one, all with the same nova.conf."""

    def __init__(
        self,
        environment: Environment,
        folder: Path,
        variables: dict[str, str],
        *sections: Sections,
        backend: str = "threading",
        cell_url: str = FOLLOWING,
    ) -> None:
        """Write the files, and make the databases if there are none in this folder.

        sections: of nova.conf, over those that are written here.
        backend: `eventlet` or `threading`.
        cell_url: what the cell's mapping has as transport_url.
        """
        variables = {
            **variables,
            "PYTHONPATH": SQLITE,
            "OS_NOVA_CONFIG_DIR": str(folder),
            "OS_NOVA_CONFIG_FILES": "api-paste.ini;nova.conf;databases.conf",
            "OS_PLACEMENT_CONFIG_DIR": str(folder),
        }
        super().__init__(environment, folder, variables)
        self._ports = [ReservedPort(), ReservedPort()]
        self.api_port, self.placement_port = (port.number for port in self._ports)
        self._standin = StandIn({**IMAGES, **NETWORKS})
        self.api = Api(f"http://127.0.0.1:{self.api_port}/v2.1", ADMIN)
        self._nova_conf = self.write("nova.conf", self._sections(), *sections)
        # Of its own: the API, as an application of uWSGI, has threads in any case.
        self._backend_conf = self.write(
            "backend.conf", {"DEFAULT": {"concurrency_backend": backend}}
        )
        # Of its own: a compute node that knows a database refuses to start.
        self._databases_conf = self.write("databases.conf", self._databases())
        self._control_plane = [
            "--config-file", self._nova_conf, "--config-file", self._backend_conf,
            "--config-file", self._databases_conf,
        ]  # fmt: skip
        self.write("placement.conf", self._placement())
        self._write_pipeline()
        self._make_databases(cell_url)

    def _sections(self) -> Sections:
        placement = f"http://127.0.0.1:{self.placement_port}"
        return {
            "DEFAULT": {
                "host": "node-1",
                "state_path": self.folder,
                "compute_driver": "fake.PredictableNodeUUIDDriver",
                "log_options": False,
                "rpc_response_timeout": 20,
                "report_interval": 5,
                "periodic_fuzzy_delay": 0,
            },
            "api": {"dhcp_domain": ""},
            "conductor": {"workers": 1},
            "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 2},
            "oslo_concurrency": {"lock_path": self.folder / "locks"},
            "placement": {"auth_type": "admin_token", "endpoint": placement, "token": "admin"},
            "glance": {"endpoint_override": self._standin.url},
            "neutron": {
                "auth_type": "admin_token",
                "endpoint": self._standin.url,
                "token": "admin",
                "endpoint_override": self._standin.url,
            },
            "cinder": {"catalog_info": "volumev3::"},
        }

    def _databases(self) -> Sections:
        return {
            "api_database": {"connection": f"sqlite:///{self.folder}/api.sqlite"},
            "database": {"connection": f"sqlite:///{self.folder}/cell1.sqlite"},
        }

    def _placement(self) -> Sections:
        return {
            "api": {"auth_strategy": "noauth2"},
            "placement_database": {
                "connection": f"sqlite:///{self.folder}/placement.sqlite",
                "sync_on_startup": True,
            },
        }

    def _write_pipeline(self) -> None:
        """Write Nova's own api-paste.ini, without the filter that asks Keystone."""
        stock = (self.environment.folder / "etc" / "nova" / "api-paste.ini").read_text()
        (self.folder / "api-paste.ini").write_text(re.sub(r"(?<==)(.*) authtoken ", r"\1 ", stock))

    def _make_databases(self, cell_url: str) -> None:
        if not (self.folder / "cell0.sqlite").exists():
            self.manage("api_db", "sync")
            cell0 = f"sqlite:///{self.folder}/cell0.sqlite"
            self.manage("cell_v2", "map_cell0", "--database_connection", cell0)
            self.manage("db", "sync")
            self.manage("cell_v2", "create_cell", "--name", "cell1", "--transport-url", cell_url)
        else:
            listed = self.manage("cell_v2", "list_cells")
            (uuid,) = re.findall(r"cell1 +\| +([0-9a-f-]{36})", listed)
            self.manage("cell_v2", "update_cell", "--cell_uuid", uuid, "--transport-url", cell_url)

    def manage(self, *arguments: str) -> str:
        return self.run("nova-manage", *self._control_plane, *arguments)

    def start_all(self, computes: Sequence[str] = ("node-1",)) -> None:
        self.start_wsgi("placement", "placement.wsgi.api", self.placement_port, *THREADS)
        for name in ("conductor", "scheduler"):
            self.start(f"nova-{name}", _serves, f"nova-{name}", *self._control_plane)
        for host in computes:
            self.start_compute(host)
        self.start_wsgi("nova-api", "nova.wsgi.osapi_compute", self.api_port, *THREADS)

    def start_compute(
        self,
        host: str,
        *sections: Sections,
        environment: Environment | None = None,
        variables: Mapping[str, str] = NOTHING,
    ) -> None:
        """Start a compute node of this name, with the identity that a real one keeps in a file.

        Args:
            host: its name.
            *sections: of its own nova.conf, over those of all.
            environment: its own, if it has another than the control plane.
            variables: more of its environment's.
        """
        folder = self.folder / host
        folder.mkdir(exist_ok=True)
        (folder / "compute_id").write_text(str(uuid.uuid5(uuid.NAMESPACE_DNS, host)))
        named: Sections = {"DEFAULT": {"host": host, "state_path": folder}}
        own = self.write(f"{host}.conf", named, *sections)
        self.start(
            f"nova-compute-{host}", _serves, "nova-compute",
            "--config-file", self._nova_conf, "--config-file", self._backend_conf,
            "--config-file", own, environment=environment, variables=variables,
        )  # fmt: skip

    def wait_for_computes(self, n: int) -> None:
        """Wait until n compute nodes are up, and known to the cell and to placement.

        In a database of an earlier Nova they are known already, and down until they report.
        """
        placement = Api(
            f"http://127.0.0.1:{self.placement_port}",
            {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.30"},
        )

        def found() -> list[int]:
            services = self.api("GET", "/os-services?binary=nova-compute")[1].get("services", [])
            known = self.api("GET", "/os-hypervisors")[1].get("hypervisors", [])
            providers = placement("GET", "/resource_providers?required=OWNER_NOVA")[1]
            up = [service for service in services if service["state"] == "up"]
            return [len(each) for each in (up, known, providers.get("resource_providers", []))]

        until(lambda: found() == [n, n, n], found, 90)

    def build(self, name: str, host: str = "", **headers: str) -> str:
        """Build a server, and return its id once it is active. host: where; "": anywhere."""
        server = {"name": name, "flavorRef": FLAVOR, "imageRef": IMAGE, "networks": "none"}
        if host:
            server["host"] = host
        status, answer = self.api("POST", "/servers", {"server": server}, **headers)
        assert status == 202, answer
        id: str = answer["server"]["id"]
        self.until_status(id, "ACTIVE")
        return id

    def act(self, id: str, action: Any, **headers: str) -> Any:
        """Have something done to a server, and return the answer."""
        status, answer = self.api("POST", f"/servers/{id}/action", action, **headers)
        assert status in (200, 202, 204), answer
        return answer

    def delete(self, id: str, **headers: str) -> None:
        """Delete a server, and wait until it is gone."""
        assert self.api("DELETE", f"/servers/{id}", **headers)[0] == 204
        until(lambda: self.api("GET", f"/servers/{id}")[0] == 404, lambda: id, 60)

    def until_status(self, id: str, wanted: str) -> None:
        def server() -> Any:
            return self.api("GET", f"/servers/{id}")[1]["server"]

        def is_so() -> bool:
            now = server()
            assert now["status"] != "ERROR", now.get("fault")
            return bool(now["status"] == wanted and not now["OS-EXT-STS:task_state"])

        until(is_so, server, 60)

    def make_flavors(self) -> None:
        for name, ram in ((FLAVOR, 64), (LARGER, 128)):
            flavor = {"id": name, "name": name, "ram": ram, "vcpus": 1, "disk": 0}
            assert self.api("POST", "/flavors", {"flavor": flavor})[0] in (200, 409)

    def close(self) -> None:
        self.stop()
        self._standin.stop()
        for port in self._ports:
            port.release()


def _serves(log: str) -> bool:
    return "Starting" in log and "node" in log

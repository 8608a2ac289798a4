# SPDX-License-Identifier: Apache-2.0
"""Vitrage: its API, and the graph with a worker that answers it, on static resources."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.openstack.api import Api, is_listening
from tests.openstack.deployment import Deployment, Sections
from tests.openstack.environments import Environment
from tests.servers.ports import ReservedPort

__all__ = ["PACKAGES", "Vitrage"]

PACKAGES: Final = (
    "vitrage",
    "opentelemetry-exporter-otlp-proto-http",  # for oslo.messaging's own tracing
    "opentelemetry-sdk",
    "osprofiler",
    "redis",
    "uwsgi",
)
PROGRAMS: Final = Path(__file__).parent / "programs"
STOCK: Final = str(Path(__file__).with_name("stock_tracing"))
HEADERS: Final = {
    "X-User-Id": "admin",
    "X-User-Name": "admin",
    "X-Project-Id": "project",
    "X-Roles": "admin",
}

# Vitrage's own, in its noauth part; its package does not have the file.
PIPELINE: Final = {
    "composite:vitrage+noauth": {"use": "egg:Paste#urlmap", "/v1": "v1"},
    "pipeline:v1": {"pipeline": "request_id osprofiler app"},
    "app:app": {
        "paste.app_factory": "vitrage.api.app:app_factory",
        "root": "vitrage.api.controllers.v1.root.V1Controller",
    },
    "filter:request_id": {"paste.filter_factory": "oslo_middleware:RequestId.factory"},
    "filter:osprofiler": {"paste.filter_factory": "osprofiler.web:WsgiMiddleware.factory"},
}


class Vitrage(Deployment):
    """An API and a graph, with the same vitrage.conf."""

    def __init__(
        self, environment: Environment, folder: Path, variables: dict[str, str], *sections: Sections
    ) -> None:
        """Write the files, and make the tables if there are none in this folder.

        sections: of vitrage.conf, over those that are written here.
        """
        # The API looks for uWSGI in PATH, and for its configuration at home.
        path = f"{environment.folder}/bin:/usr/bin:/bin"
        super().__init__(
            environment,
            folder,
            {**variables, "HOME": str(folder), "PATH": path, "PYTHONPATH": STOCK},
        )
        self._port = ReservedPort()
        self.api = Api(f"http://127.0.0.1:{self._port.number}/v1", HEADERS)
        self.write("api-paste.ini", PIPELINE)
        (self.folder / "static").mkdir(exist_ok=True)
        (self.folder / "static" / "resources.yaml").write_text(RESOURCES)
        self._conf = self.write("vitrage.conf", self._sections(), *sections)
        if not (self.folder / "vitrage.sqlite").exists():
            self.run("python", PROGRAMS / "vitrage_tables.py", self._database)

    @property
    def _database(self) -> str:
        return f"sqlite:///{self.folder}/vitrage.sqlite"

    def _sections(self) -> Sections:
        values = self.environment.folder.glob(
            "lib/*/site-packages/vitrage/tests/resources/datasources_values"
        )
        return {
            "api": {
                "host": "127.0.0.1",
                "port": self._port.number,
                "auth_mode": "noauth",
                "paste_config": self.folder / "api-paste.ini",
            },
            "database": {"connection": self._database},
            "coordination": {"backend_url": f"file://{self.folder}/coordination"},
            "datasources": {"types": "static"},
            "static": {"directory": self.folder / "static"},
            "entity_graph": {"datasources_values_dir": next(values)},
            "evaluator": {"workers": 1},
        }

    def start_all(self) -> None:
        self.start(
            "vitrage-graph", lambda log: "ApiWorker - Started" in log, "vitrage-graph",
            "--config-file", self._conf,
        )  # fmt: skip
        port = self._port.number
        self.start(
            "vitrage-api",
            lambda log: is_listening(port),
            "vitrage-api",
            "--config-file",
            self._conf,
        )

    def close(self) -> None:
        self.stop()
        self._port.release()


RESOURCES: Final = """
metadata:
  name: three switches
definitions:
  entities:
    - {static_id: s1, type: switch, name: switch-1, id: switch-1, state: available}
    - {static_id: s2, type: switch, name: switch-2, id: switch-2, state: available}
    - {static_id: s3, type: switch, name: switch-3, id: switch-3, state: available}
  relationships:
    - {source: s1, target: s2, relationship_type: attached}
    - {source: s1, target: s3, relationship_type: attached}
"""

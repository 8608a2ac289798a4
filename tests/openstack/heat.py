# SPDX-License-Identifier: Apache-2.0
"""Heat: its API, and an engine with two workers, which build stacks of its test resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.openstack.api import Api
from tests.openstack.deployment import Deployment, Sections
from tests.openstack.environments import Environment
from tests.servers.patience import until
from tests.servers.ports import ReservedPort

__all__ = ["PACKAGES", "Heat"]

PACKAGES: Final = ("openstack-heat", "osprofiler", "redis", "uwsgi")
SQLITE: Final = str(Path(__file__).with_name("sqlite"))

#: Two resources, of which one waits for the other.
TEMPLATE: Final = {
    "heat_template_version": "2021-04-16",
    "resources": {
        "first": {"type": "OS::Heat::TestResource", "properties": {"value": "one"}},
        "second": {
            "type": "OS::Heat::TestResource",
            "properties": {"value": {"get_attr": ["first", "output"]}},
        },
    },
}


class Heat(Deployment):
    """An API and an engine, with the same heat.conf."""

    def __init__(
        self, environment: Environment, folder: Path, variables: dict[str, str], *sections: Sections
    ) -> None:
        """Write the files, and make the tables if there are none in this folder.

        sections: of heat.conf, over those that are written here.
        """
        super().__init__(
            environment, folder, {**variables, "HOME": str(folder), "PYTHONPATH": SQLITE}
        )
        self._port = ReservedPort()
        self.api = Api(f"http://127.0.0.1:{self._port.number}/v1/admin", {})
        stock = (environment.folder / "etc" / "heat" / "api-paste.ini").read_text()
        # Heat's own pipeline without Keystone has no place for OSProfiler.
        at = "noauth = cors request_id faultwrap noauth context http_proxy_to_wsgi"
        assert at in stock
        (folder / "api-paste.ini").write_text(stock.replace(at, f"{at} osprofiler"))
        actions = ("stacks:create", "stacks:show", "stacks:delete", "stacks:lookup")
        (folder / "policy.yaml").write_text("".join(f'"{action}": ""\n' for action in actions))
        self._conf = self.write("heat.conf", self._sections(), *sections)
        if not (folder / "heat.sqlite").exists():
            self.run("heat-manage", "--config-file", self._conf, "db_sync")

    def _sections(self) -> Sections:
        return {
            "DEFAULT": {
                "host": "node-1",
                "num_engine_workers": 2,
                "deferred_auth_method": "password",
                "auth_encryption_key": "0123456789abcdef0123456789abcdef",
                "environment_dir": self.folder / "none",
                "template_dir": self.folder / "none",
            },
            "database": {"connection": f"sqlite:///{self.folder}/heat.sqlite"},
            "oslo_policy": {"policy_file": self.folder / "policy.yaml"},
            "paste_deploy": {"flavor": "noauth", "api_paste_config": self.folder / "api-paste.ini"},
        }

    def start_all(self) -> None:
        # Each worker says that it is there.
        self.start(
            "heat-engine", lambda log: log.count("engine_worker") + log.count("Starting") > 1,
            "heat-engine", "--config-file", self._conf,
        )  # fmt: skip
        self.start_wsgi("heat-api", "heat.wsgi.api", self._port.number)

    def build(self, name: str, **headers: str) -> str:
        """Build a stack, and return its path once it is complete."""
        stack = {"stack_name": name, "template": TEMPLATE}
        status, answer = self.api("POST", "/stacks", stack, **headers)
        assert status == 201, answer
        path = f"/stacks/{name}/{answer['stack']['id']}"
        self.until_status(path, "CREATE_COMPLETE")
        return path

    def delete(self, path: str, **headers: str) -> None:
        assert self.api("DELETE", path, **headers)[0] == 204
        self.until_status(path, "DELETE_COMPLETE")

    def until_status(self, path: str, wanted: str) -> None:
        def stack() -> Any:
            return self.api("GET", path)[1].get("stack", {})

        def is_so() -> bool:
            now = stack()
            assert "FAILED" not in now.get("stack_status", ""), now
            return bool(now.get("stack_status") == wanted)

        until(is_so, stack, 60)

    def close(self) -> None:
        self.stop()
        self._port.release()

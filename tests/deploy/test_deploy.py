# SPDX-License-Identifier: Apache-2.0
"""The files of `packaging/deploy/`: their form, and each command and configuration in them.

No container engine and no Kubernetes is here: that these take the files is not tested.
"""

from __future__ import annotations

import argparse
import configparser
import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from shmetrics import config
from shmetrics.cli import collector
from tests.deploy import containerfile

USER = 9464  # of the image

DEPLOY = Path(__file__).parents[2] / "packaging" / "deploy"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def parsed(words: list[str]) -> argparse.Namespace:
    assert words[0] == "collector"
    parser = argparse.ArgumentParser()
    collector.arguments(parser)
    return parser.parse_args(words[1:])


def test_every_file_is_tested() -> None:
    names = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    kolla = {f"kolla/{name}" for name in ("globals.yml", "nova.conf", "neutron.conf")}
    assert names == {
        *("Containerfile", "compose.yaml", "kubernetes.yaml", "openstack_ansible.yml"),
        *kolla,
    }


def test_the_containerfile() -> None:
    """Check its last stage. tests/verify/package/ runs its steps."""
    steps = containerfile.steps((DEPLOY / "Containerfile").read_text())
    last = [step for step in steps if step.stage == 1]
    found = {step.name: step.arguments for step in last}
    assert json.loads(found["ENTRYPOINT"]) == ["shmetrics"]
    options = parsed(json.loads(found["CMD"]))
    assert (options.runtime_dir, options.listen) == (found["VOLUME"], f":{found['EXPOSE']}")
    assert f"--uid {USER} " in found["RUN"]
    assert found["USER"] == "shmetrics"


def test_compose() -> None:
    (document,) = documents("compose.yaml")
    services = document["services"]
    options = parsed(services["shmetrics"]["command"])
    assert (options.runtime_dir, options.listen) == ("/run/shmetrics", ":9464")
    for service in services.values():
        shared = [volume for volume in service["volumes"] if volume.endswith(":/run/shmetrics")]
        assert [volume.partition(":")[0] for volume in shared] == list(document["volumes"])
    (volume,) = document["volumes"].values()
    assert volume["driver_opts"]["o"].endswith(f",uid={USER},gid={USER}")


def test_kubernetes(tmp_path: Path) -> None:
    map_, daemons = documents("kubernetes.yaml")
    (tmp_path / "collector.toml").write_text(map_["data"]["collector.toml"])
    assert config.load(str(tmp_path / "collector.toml"))
    spec = daemons["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (first,) = spec["initContainers"]
    assert first["command"] == ["chown", f"{USER}:{USER}", "/run/shmetrics"]
    assert first["volumeMounts"] == [
        mount for mount in container["volumeMounts"] if mount["name"] == "run"
    ]
    options = parsed(container["args"])
    assert options.listen == f":{container['ports'][0]['containerPort']}"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in spec["volumes"]}
    assert mounts["run"] == options.runtime_dir
    assert Path(mounts["config"]) == Path(options.config).parent


def test_openstack_ansible() -> None:
    (variables,) = documents("openstack_ansible.yml")
    (mount,) = variables["lxc_container_bind_mounts"]
    assert set(mount.values()) == {"/run/shmetrics"}
    for name in ("nova", "neutron"):
        (wanted,) = variables[f"{name}_user_pip_packages"]
        assert wanted == "shmetrics[oslo]"
        for kind in ("rpc", "notify"):
            ours, _, real = variables[f"{name}_oslomsg_{kind}_transport"].partition("+")
            assert entry_points(group="oslo.messaging.drivers", name=ours)
            assert entry_points(group="oslo.messaging.drivers", name=real)


@pytest.mark.parametrize("name", ["nova", "neutron"])
def test_kolla(name: str) -> None:
    (globals_,) = documents("kolla/globals.yml")
    assert globals_[f"{name}_extra_volumes"] == ["/run/shmetrics:/run/shmetrics"]
    service = configparser.ConfigParser(interpolation=None)
    service.read(DEPLOY / "kolla" / f"{name}.conf")
    assert service["DEFAULT"]["transport_url"] == "shmetrics+{{ rpc_transport_url }}"

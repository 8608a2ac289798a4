# SPDX-License-Identifier: Apache-2.0
"""The files of `packaging/deploy/`: their form, and each command and configuration in them.

No container engine and no Kubernetes is here: that these take the files is not tested.
"""

from __future__ import annotations

import argparse
import configparser
from pathlib import Path
from typing import Any

import pytest
import yaml

from shmetrics import config
from shmetrics.cli import collector

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
    assert names == {"compose.yaml", "kubernetes.yaml", *kolla}


def test_compose() -> None:
    (document,) = documents("compose.yaml")
    services = document["services"]
    options = parsed(services["shmetrics"]["command"])
    assert (options.runtime_dir, options.listen) == ("/run/shmetrics", ":9464")
    for service in services.values():
        shared = [volume for volume in service["volumes"] if volume.endswith(":/run/shmetrics")]
        assert [volume.partition(":")[0] for volume in shared] == list(document["volumes"])


def test_kubernetes(tmp_path: Path) -> None:
    map_, daemons = documents("kubernetes.yaml")
    (tmp_path / "collector.toml").write_text(map_["data"]["collector.toml"])
    assert config.load(str(tmp_path / "collector.toml"))
    spec = daemons["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    options = parsed(container["args"])
    assert options.listen == f":{container['ports'][0]['containerPort']}"
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in spec["volumes"]}
    assert mounts["run"] == options.runtime_dir
    assert Path(mounts["config"]) == Path(options.config).parent


@pytest.mark.parametrize("name", ["nova", "neutron"])
def test_kolla(name: str) -> None:
    (globals_,) = documents("kolla/globals.yml")
    assert globals_[f"{name}_extra_volumes"] == ["/run/shmetrics:/run/shmetrics"]
    service = configparser.ConfigParser(interpolation=None)
    service.read(DEPLOY / "kolla" / f"{name}.conf")
    assert service["DEFAULT"]["transport_url"] == "shmetrics+{{ rpc_transport_url }}"

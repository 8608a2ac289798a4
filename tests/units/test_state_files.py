# SPDX-License-Identifier: Apache-2.0
"""Promise: names come from the files of managers, and from nothing that is written otherwise.

The files are of the test, in the formats that these managers write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.units.state_files import StateFiles

ID = "cd" * 32
UID = "4a5b6c7d-0000-1111-2222-333344445555"
DOCKER = f"/system.slice/docker-{ID}.scope"
PODMAN = f"/machine.slice/libpod-{ID}.scope"
CRI = f"/kubepods/burstable/pod{UID}/{ID}"


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def docker(root: Path, text: str) -> None:
    write(root, f"var/lib/docker/containers/{ID}/config.v2.json", text)


def podman(root: Path, text: str) -> None:
    write(root, "var/lib/containers/storage/overlay-containers/containers.json", text)


def test_docker(tmp_path: Path) -> None:
    docker(tmp_path, json.dumps({"Name": "/web", "Config": {"Image": "nginx:1"}, "State": {}}))
    assert StateFiles(str(tmp_path))("container", ID, DOCKER) == {"name": "web", "image": "nginx:1"}


def test_podman(tmp_path: Path) -> None:
    one = {"id": ID, "names": ["db"], "metadata": json.dumps({"image-name": "pg:16"})}
    podman(tmp_path, json.dumps([one]))
    files = StateFiles(str(tmp_path))
    assert files("container", ID, PODMAN) == {"name": "db", "image": "pg:16"}
    assert files("container", "ef" * 32, PODMAN.replace(ID, "ef" * 32)) == {}


@pytest.mark.parametrize(
    "path",
    [
        "overlay-containers/volatile-containers.json",  # of `podman run --rm`
        "vfs-containers/containers.json",
    ],
)
def test_all_lists_of_podman(tmp_path: Path, path: str) -> None:
    podman(tmp_path, json.dumps([{"id": "ef" * 32, "names": ["other"], "metadata": "{}"}]))
    one = {"id": ID, "names": ["db"], "metadata": json.dumps({"image-name": "pg:16"})}
    write(tmp_path, f"var/lib/containers/storage/{path}", json.dumps([one]))
    found = StateFiles(str(tmp_path))("container", ID, PODMAN)
    assert found == {"name": "db", "image": "pg:16"}


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    podman(tmp_path, "[]")
    files = StateFiles(str(tmp_path))
    assert files("container", ID, PODMAN) == {}
    podman(tmp_path, json.dumps([{"id": ID, "names": ["db"], "metadata": "{}"}]))
    path = tmp_path / "var/lib/containers/storage/overlay-containers/containers.json"
    os.utime(path, ns=(1, 1))
    assert files("container", ID, PODMAN)["name"] == "db"


def test_kubernetes(tmp_path: Path) -> None:
    write(tmp_path, f"var/log/containers/web-0_shop_nginx-{ID}.log", "")
    write(tmp_path, f"var/log/pods/shop_web-0_{UID}/x", "")
    files = StateFiles(str(tmp_path))
    assert files("container", ID, CRI) == {
        "name": "k8s_nginx_web-0_shop",
        "pod": "web-0",
        "namespace": "shop",
        "container": "nginx",
    }
    assert files("pod", UID, f"/kubepods/burstable/pod{UID}") == {
        "pod": "web-0",
        "namespace": "shop",
    }


def test_libvirt(tmp_path: Path) -> None:
    write(tmp_path, "run/libvirt/qemu/i-1.xml", f"<domstatus><uuid>{UID}</uuid></domstatus>")
    assert StateFiles(str(tmp_path))("vm", "i-1", "/x") == {"uuid": UID}


def test_a_name_cannot_lead_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "run/libvirt/qemu/x", "")
    write(tmp_path, "run/secret.xml", f"<uuid>{UID}</uuid>")
    assert StateFiles(str(tmp_path))("vm", "../../secret", "/x") == {}


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        ("container", ID, DOCKER),
        ("container", ID, PODMAN),
        ("container", ID, CRI),
        ("container", "build", "/machine.slice/systemd-nspawn@build.service"),
        ("pod", UID, "/x"),
        ("vm", "i-1", "/x"),
        ("systemd", "a.service", "/a.service"),
    ],
)
def test_a_node_without_the_files_says_nothing(
    tmp_path: Path, kind: str, name: str, path: str
) -> None:
    assert StateFiles(str(tmp_path))(kind, name, path) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "names", "metadata", "Name", "Config"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_another_form_says_nothing_or_texts(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    root = tmp_path_factory.mktemp("root")
    docker(root, json.dumps(value))
    podman(root, json.dumps(value))
    for path in (DOCKER, PODMAN):
        found = StateFiles(str(root))("container", ID, path)
        assert all(isinstance(text, str) for text in found.values())


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", 5, None, ["x"]])
def test_a_name_that_is_no_line_of_text_is_left_out(tmp_path: Path, name: object) -> None:
    docker(tmp_path, json.dumps({"Name": "/web", "Config": {"Image": name}}))
    assert StateFiles(str(tmp_path))("container", ID, DOCKER) == {"name": "web"}


def test_a_bomb_of_brackets_says_nothing(tmp_path: Path) -> None:
    docker(tmp_path, "[" * 100_000)
    assert StateFiles(str(tmp_path))("container", ID, DOCKER) == {}


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    docker(tmp_path, "")
    path = tmp_path / f"var/lib/docker/containers/{ID}/config.v2.json"
    path.unlink()
    os.mkfifo(path)
    assert StateFiles(str(tmp_path))("container", ID, DOCKER) == {}

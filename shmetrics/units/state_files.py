# SPDX-License-Identifier: Apache-2.0
"""Names of containers, pods and machines, from the files that their managers keep.

=============  ================================================================================
docker         `/var/lib/docker/containers/<id>/config.v2.json`: `Name`, `Config.Image`
podman         `<storage>/overlay-containers/containers.json`: a list of `id`, `names`, and
               `metadata`, which is JSON in a string, with `image-name`; of those made with
               `--rm` `volatile-containers.json`; with another storage driver, in its directory
Kubernetes     the names of the links `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`,
               and of the directories `/var/log/pods/<namespace>_<pod>_<uid>`
libvirt        `/run/libvirt/qemu/<name>.xml`: `<uuid>`
=============  ================================================================================

Most of them only root can read. What is missing, not ours to read, or written otherwise says
nothing, and the unit is shown under its id.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from collections.abc import Mapping
from typing import Any, Final

from shmetrics import plain_file
from shmetrics.units.unit import CONTAINER, POD, VM

MOST_BYTES: Final = 8 << 20
MOST_CHARACTERS: Final = 200  # of one label value

_ID: Final = re.compile(r"[0-9a-f]{64}")
_LINK: Final = re.compile(
    r"(?P<pod>[^_]+)_(?P<ns>[^_]+)_(?P<container>.+)-(?P<id>[0-9a-f]{64})\.log"
)
_PODS: Final = re.compile(r"(?P<ns>[^_]+)_(?P<pod>[^_]+)_(?P<uid>[^_]+)")
_UUID: Final = re.compile(rb"<uuid>([0-9a-f-]{36})</uuid>")
_USER_SLICE: Final = re.compile(r"/user-(\d{1,10})\.slice/")

_DOCKER: Final = "var/lib/docker/containers"
_LINKS: Final = "var/log/containers"
_POD_LOGS: Final = "var/log/pods"
_LIBVIRT: Final = "run/libvirt/qemu"
_STORAGE: Final = "var/lib/containers/storage"
_OWN_STORAGE: Final = ".local/share/containers/storage"
_CONTAINERS: Final = tuple(
    f"{driver}-containers/{name}.json"
    for driver in ("overlay", "vfs", "btrfs", "zfs")
    for name in ("containers", "volatile-containers")
)


class StateFiles:
    """The state files below a root, which are looked into again only when they have changed."""

    def __init__(self, root: str = "/") -> None:
        """Set the root: the node's own, or where a container sees it."""
        self._root = root
        self._read: dict[str, tuple[int, Any]] = {}  # what a path had, and when it was changed

    def __call__(self, kind: str, name: str, path: str) -> Mapping[str, str]:
        """Return what the files say of a unit, as labels; nothing if they do not know it.

        Args:
            kind: its kind.
            name: the name that the rules have found: the id of a container, the uid of a pod.
            path: the path of its cgroup.
        """
        found: dict[str, str] = {}
        try:
            if kind == CONTAINER and _ID.fullmatch(name):
                found = self._container(name, path)
            elif kind == POD:
                found = self._once(_POD_LOGS, self._pods).get(name, {})
            elif kind == VM and "/" not in name:
                text = plain_file.read(self._path(f"{_LIBVIRT}/{name}.xml"), MOST_BYTES)
                uuid = _UUID.search(text)
                found = {"uuid": uuid[1].decode()} if uuid else {}
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return {}  # there is none, or it has another form than the one above
        return {
            label: text[:MOST_CHARACTERS]
            for label, text in found.items()
            if isinstance(text, str) and text.isprintable()
        }

    def _container(self, name: str, path: str) -> dict[str, str]:
        if "docker" in path:
            said = json.loads(
                plain_file.read(self._path(f"{_DOCKER}/{name}/config.v2.json"), MOST_BYTES)
            )
            return {"name": said["Name"].lstrip("/"), "image": said["Config"]["Image"]}
        if "libpod" in path:
            return self._from_storage(self._storage(path), name)
        return self._once(_LINKS, self._links).get(name, {})

    def _storage(self, path: str) -> str:
        user = _USER_SLICE.search(path)
        if user is None:
            return _STORAGE
        home = pwd.getpwuid(int(user[1])).pw_dir.lstrip("/")
        return f"{home}/{_OWN_STORAGE}"

    def _from_storage(self, storage: str, name: str) -> dict[str, str]:
        """Return what the lists of a storage say of a container, those of each driver."""
        for path in _CONTAINERS:
            try:
                found = self._once(f"{storage}/{path}", self._podman).get(name)
            except FileNotFoundError:
                continue
            if found:
                return found
        return {}

    def _once(self, path: str, read: Any) -> dict[str, dict[str, str]]:
        """Return what a file or directory has by unit, read again if it has changed."""
        full = self._path(path)
        changed = os.stat(full).st_mtime_ns
        known = self._read.get(full)
        if known is None or known[0] != changed:
            known = self._read[full] = changed, read(full)
        found: dict[str, dict[str, str]] = known[1]
        return found

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path)

    @staticmethod
    def _podman(path: str) -> dict[str, dict[str, str]]:
        return {
            one["id"]: {
                "name": one["names"][0],
                "image": json.loads(one["metadata"]).get("image-name", ""),
            }
            for one in json.loads(plain_file.read(path, MOST_BYTES))
        }

    @staticmethod
    def _links(path: str) -> dict[str, dict[str, str]]:
        found = map(_LINK.fullmatch, os.listdir(path))
        return {
            link["id"]: {
                "name": f"k8s_{link['container']}_{link['pod']}_{link['ns']}",
                "pod": link["pod"],
                "namespace": link["ns"],
                "container": link["container"],
            }
            for link in found
            if link
        }

    @staticmethod
    def _pods(path: str) -> dict[str, dict[str, str]]:
        found = map(_PODS.fullmatch, os.listdir(path))
        return {
            each["uid"]: {"pod": each["pod"], "namespace": each["ns"]} for each in found if each
        }

# SPDX-License-Identifier: Apache-2.0
"""A gear directory, laid out as OpenShift's node makes it."""

from __future__ import annotations

import os
from pathlib import Path

from shmetrics.probes.gear_files import OwnFiles
from shmetrics.probes.probe import Owner

MANIFEST = """Name: {name}
Cartridge-Short-Name: MOCK
Version: '0.1'
Metrics:
  uptime:
    display_name: Uptime
    graph_type: line
"""

# What the mock cartridge of OpenShift prints, and a word on STDERR.
CONTROL = """#!/bin/bash
case "$1" in
metrics) echo "type=metric cart=mock appName=$OPENSHIFT_APP_NAME uptime=12.3"; echo hi >&2 ;;
*) echo "usage" >&2; exit 1 ;;
esac
"""

HOOK = """#!/bin/bash
echo "type=metric thread.count=5 thread.active=2 heap.permgen.size=25000000"
"""


class Gear:
    """A gear, which a test fills."""

    def __init__(self, folder: Path, uuid: str, uid: int) -> None:
        self.home = folder / uuid
        self.owner = Owner(uuid, "gear", uid, str(self.home))
        self.home.mkdir()
        for name, value in {
            "OPENSHIFT_APP_NAME": "A",
            "OPENSHIFT_GEAR_UUID": uuid,
            "OPENSHIFT_APP_UUID": "U",
            "OPENSHIFT_NAMESPACE": "N",
            "TYPELESS_TRANSLATED_VARS": "no",
        }.items():
            self.write(f".env/{name}", value)
        (self.home / "app-root" / "data").mkdir(parents=True)

    def cartridge(self, name: str = "mock", manifest: str = MANIFEST) -> Path:
        """Add a cartridge."""
        self.write(f"{name}/metadata/manifest.yml", manifest.format(name=name))
        self.write(f"{name}/env/OPENSHIFT_{name.upper()}_IP", "127.0.250.1")
        self.write(f"{name}/bin/control", CONTROL, 0o755)
        return self.home / name

    def hook(self, text: str = HOOK) -> Path:
        """Add the application's hook."""
        return self.write("app-root/runtime/repo/.openshift/action_hooks/metrics", text, 0o755)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def give(self) -> None:
        """Give all of it to its user, and link the repository as OpenShift does."""
        repo = self.home / "app-root" / "repo"
        if not repo.is_symlink():
            repo.symlink_to("runtime/repo")
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, self.owner.uid, self.owner.uid, follow_symlinks=False)


def own_files(owner: Owner) -> OwnFiles:
    """Return the files of a gear as this user can read them."""
    return OwnFiles(owner.home, owner.uid)

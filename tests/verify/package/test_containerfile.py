# SPDX-License-Identifier: Apache-2.0
"""The steps of the Containerfile, run in bare Debian roots, and the collector that comes out.

No container engine is needed: each step runs with chroot, in mount namespaces of its own. Each
stage begins with what debootstrap makes. How packages are to be had is the machine's own business:
its apt, its pip and its certificates go along.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.containerfile import Step, steps
from tests.servers.once import once
from tests.servers.processes import ServerProcess

from .conftest import ROOT, Archives

FILE = ROOT / "packaging" / "deploy" / "Containerfile"
SUITE = "bookworm"
#: What the machine has to say of indexes of packages: files, folders, variables, certificates.
OWN = ("etc/resolv.conf", "etc/pip.conf", "root/.config/pip/pip.conf")
OWN_FOLDERS = ("etc/apt/apt.conf.d", "etc/apt/auth.conf.d")
OWN_VARIABLES = re.compile(r"PIP_\w+|\w+_proxy", re.IGNORECASE)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def lacking() -> str:
    """Return the reason why this cannot run here; "" if it can."""
    if os.geteuid():
        return "chroot is for root"
    missing = [name for name in ("debootstrap", "unshare", "chroot") if not shutil.which(name)]
    return f"no {' and no '.join(missing)}, which Debian has" if missing else ""


pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def bare(folder: Path) -> None:
    """Make a bare Debian root."""
    asked = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    sites = subprocess.run(
        [*asked, "Origin: Debian", f"Codename: {SUITE}"], capture_output=True, text=True, check=True
    ).stdout.split()
    command = ["debootstrap", "--variant=minbase", SUITE, str(folder), *sites[:1]]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    furnish(folder)


def furnish(folder: Path) -> None:
    """Tell a root what the machine knows of indexes of packages."""
    shutil.copy(os.environ.get("PIP_CERT", CERTIFICATES), folder / "etc" / "certificates.pem")
    for name in OWN:
        if Path("/", name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), folder / name)
    for name in OWN_FOLDERS:
        if Path("/", name).is_dir():
            shutil.copytree(Path("/", name), folder / name, dirs_exist_ok=True)


class Image:
    """The roots of all stages, while they are made."""

    def __init__(self, bare: Path, folder: Path, context: Path) -> None:
        """Begin.

        Args:
            bare: a root to begin with.
            folder: the folder of the roots.
            context: the folder that is built from.
        """
        self._bare = bare
        self._folder = folder
        self._context = context
        self._names: list[str] = []
        self._env: dict[str, str] = {}
        self.user = "root"
        self.entrypoint: list[str] = []

    @property
    def root(self) -> Path:
        """Return the root of the stage that is made."""
        return self._folder / str(len(self._names) - 1)

    def run(self, step: Step) -> None:
        """Run a step."""
        if step.name == "FROM":
            self._names.append(step.arguments.partition(" AS ")[2])
            self._env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            subprocess.run(["cp", "-a", str(self._bare), str(self.root)], check=True)
        elif step.name == "RUN":
            command = self.command(["sh", "-ec", step.arguments])
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        elif step.name == "COPY":
            self._copy(*step.arguments.split())
        elif step.name == "ENV":
            name, _, value = step.arguments.partition("=")
            self._env[name] = value
        elif step.name == "USER":
            self.user = step.arguments
        elif step.name == "ENTRYPOINT":
            self.entrypoint = json.loads(step.arguments)

    def command(self, words: list[str]) -> list[str]:
        """Return a command that runs words in the root, as a container would."""
        own = {name: value for name, value in os.environ.items() if OWN_VARIABLES.fullmatch(name)}
        # It is built to be tried, and not to be fast.
        own |= {"PIP_CERT": "/etc/certificates.pem", "CFLAGS": "-O0 -g0"}
        env = [f"{name}={value}" for name, value in {**own, **self._env}.items()]
        mounts = f"mount --rbind /dev {self.root}/dev; mount -t proc proc {self.root}/proc"
        inside = ["chroot", f"--userspec={self.user}", str(self.root), "env", "-i", *env, *words]
        return ["unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh", *inside]

    def _copy(self, *words: str) -> None:
        source, target = words[-2:]
        folder = self._context
        if words[0].startswith("--from="):
            folder = self._folder / str(self._names.index(words[0].removeprefix("--from=")))
        found = sorted(folder.glob(source.lstrip("/")))
        assert found, f"nothing to copy: {source}"
        place = self.root / target.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if target.endswith("/"):
            place.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", *map(str, found), str(place)], check=True)


@pytest.fixture
def image(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, archives: Archives
) -> Iterator[Image]:
    """Yield the image that the Containerfile makes of the source archive."""
    context, stages = tmp_path / "context", tmp_path / "stages"
    (context / "dist").mkdir(parents=True)
    stages.mkdir()
    (sdist,) = archives.wheel.parent.glob("*.tar.gz")
    shutil.copy(sdist, context / "dist")
    made = Image(once(tmp_path_factory, "bare-debian", bare), stages, context)
    for step in steps(FILE.read_text()):
        made.run(step)
    yield made
    shutil.rmtree(tmp_path)  # half a gigabyte


def test_its_collector_serves_as_a_user_without_rights(image: Image, tmp_path: Path) -> None:
    words = ["collector", "--runtime-dir=/run/shmetrics", "--listen=127.0.0.1:0"]
    log = tmp_path / "log"
    collector = ServerProcess(image.command([*image.entrypoint, *words]), log)
    collector.ready_when(lambda: "ready: " in log.read_text(), 60)
    try:
        found = re.search(r"ready: (http://\S+)", log.read_text())
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=10) as answer:
            assert b"shmetrics_build_info" in answer.read()
        status = Path(f"/proc/{collector.pid}/status").read_text()
        assert re.search(r"^Uid:\t9464\b", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert (image.root / "run/shmetrics/register.sock").is_socket()
    finally:
        assert collector.stop() == 0
    compilers = [path for path in ("usr/bin/gcc", "usr/bin/cc") if (image.root / path).exists()]
    assert not compilers

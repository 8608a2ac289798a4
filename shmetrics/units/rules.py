# SPDX-License-Identifier: Apache-2.0
"""The rules that make cgroups units: the paths that service managers and runtimes make.

=======================================================  ===========  ========================
path                                                     kind         name
=======================================================  ===========  ========================
`…/x.service`, `.slice`, `.scope`                        systemd      `x.service`
`…/docker-<id>.scope`, `/docker/<id>`                    container    the id
`…/nerdctl-<id>.scope`                                   container    the id
`…/libpod-<id>.scope`, not `libpod-conmon-<id>.scope`    container    the id
`…pod<uid>.slice`, `/kubepods/…/pod<uid>`                pod          the uid
`…pod<uid>…/cri-containerd-<id>.scope`, `/pod<uid>/<id>` container    the id
`machine.slice/machine-qemu\\x2d2\\x2dname.scope`          vm           `name`
`machine/qemu-1-name.libvirt-qemu`                       vm           `name`
`machine.slice/systemd-nspawn@x.service`                 container    `x`
`/openshift/<uuid>`                                      gear         the uuid
=======================================================  ===========  ========================

Nothing below a container, a machine or a gear is a unit: what runs in there has managers of its
own, and names its cgroups as it likes.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from shmetrics.units.unit import CONTAINER, GEAR, POD, SYSTEMD, VM

_ID = r"(?P<id>[0-9a-f]{64})"

# Systemd's escapes (systemd-escape(1)).
_ESCAPED: Final = re.compile(r"\\x([0-9a-f]{2})")
_USER_MANAGER: Final = re.compile(r"/(user@\d+\.service)/")

# Of a path's last part, wherever it is.
_ANYWHERE: Final = (
    (CONTAINER, re.compile(rf"(?:docker|libpod|nerdctl|cri-containerd|crio)-{_ID}(?:\.scope)?")),
    (POD, re.compile(r"(?:[\w-]+-)?kubepods(?:-\w+)?-pod(?P<id>[0-9A-Za-z_]+)\.slice")),
    (VM, re.compile(r"machine-qemu\\x2d\d+\\x2d(?P<id>.+)\.scope")),
)
# Of a path's end, of which more is needed to know it.
_ENDS: Final = (
    (CONTAINER, re.compile(rf"/docker/{_ID}")),
    (CONTAINER, re.compile(rf"/pod[0-9A-Za-z-]+/{_ID}")),
    (CONTAINER, re.compile(r"/machine\.slice/systemd-nspawn@(?P<id>[^/]+)\.service")),
    (POD, re.compile(r"/kubepods(?:/besteffort|/burstable)?/pod(?P<id>[0-9A-Za-z-]+)")),
    (VM, re.compile(r"/machine/qemu-\d+-(?P<id>[^/]+)\.libvirt-qemu")),
    (GEAR, re.compile(r"/openshift/(?P<id>[\w-]+)")),
)
# Helpers of runtimes, which are in cgroups of their own and are no units.
_HELPERS: Final = re.compile(r"(?:libpod|crio)-conmon-.*")
_SYSTEMD: Final = (".service", ".slice", ".scope")


class Match(NamedTuple):
    """A cgroup as a rule knows it: its kind and its name; of none, both are ""."""

    kind: str = ""
    name: str = ""

    @property
    def is_leaf(self) -> bool:
        """Return whether nothing below it can be a unit."""
        return self.kind not in ("", SYSTEMD, POD)


NONE: Final = Match()
HELPER: Final = Match("helper")


def match(path: str) -> Match:
    """Return what the cgroup with a path is.

    Args:
        path: below the root of its hierarchy, such as `/system.slice/x.service`.
    """
    last = path.rpartition("/")[2]
    if _HELPERS.fullmatch(last):
        return HELPER
    for kind, pattern in _ANYWHERE:
        found = pattern.fullmatch(last)
        if found:
            return Match(kind, _name(kind, found["id"]))
    for kind, pattern in _ENDS:
        found = pattern.search(path)
        if found and found.end() == len(path):
            return Match(kind, _name(kind, found["id"]))
    if last.endswith(_SYSTEMD):
        manager = _USER_MANAGER.search(path)
        return Match(SYSTEMD, (manager[1] + "/" if manager else "") + unescaped(last))
    return NONE


def unescaped(name: str) -> str:
    """Return the name of a systemd unit with the characters that its file name escapes."""
    if "\\" not in name:
        return name
    raw = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
    try:
        return raw.encode("latin-1").decode()  # an escape is a byte of UTF-8
    except UnicodeError:
        return name


def _name(kind: str, text: str) -> str:
    if kind == POD:
        return text.replace("_", "-")
    return unescaped(text)

# SPDX-License-Identifier: Apache-2.0
"""Promise: a path is the unit that its manager means, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmetrics.units import rules
from shmetrics.units.unit import KINDS

ID = "0123456789abcdef" * 4
UID = "4a5b6c7d-0000-1111-2222-333344445555"
LOW = UID.replace("-", "_")

UNITS = [
    ("/system.slice", "systemd", "system.slice"),
    ("/system.slice/nginx.service", "systemd", "nginx.service"),
    ("/system.slice/system-getty.slice/getty@tty1.service", "systemd", "getty@tty1.service"),
    ("/init.scope", "systemd", "init.scope"),
    (r"/system.slice/dev\x2dloop.service", "systemd", "dev-loop.service"),
    (r"/system.slice/caf\xc3\xa9.service", "systemd", "caf\u00e9.service"),
    ("/user.slice/user-1000.slice/session-3.scope", "systemd", "session-3.scope"),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/web.service",
        "systemd",
        "user@1000.service/web.service",
    ),
    (f"/system.slice/docker-{ID}.scope", "container", ID),
    (f"/docker/{ID}", "container", ID),
    (f"/system.slice/nerdctl-{ID}.scope", "container", ID),
    (f"/machine.slice/libpod-{ID}.scope", "container", ID),
    (f"/user.slice/user-7.slice/user@7.service/user.slice/libpod-{ID}.scope", "container", ID),
    (f"/kubepods.slice/kubepods-pod{LOW}.slice", "pod", UID),
    (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{LOW}.slice", "pod", UID),
    (
        f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{LOW}.slice/"
        f"cri-containerd-{ID}.scope",
        "container",
        ID,
    ),
    (f"/kubepods.slice/kubepods-pod{LOW}.slice/crio-{ID}.scope", "container", ID),
    (f"/kubepods/burstable/pod{UID}", "pod", UID),
    (f"/kubepods/pod{UID}", "pod", UID),
    (f"/kubepods/burstable/pod{UID}/{ID}", "container", ID),
    (r"/machine.slice/machine-qemu\x2d2\x2dinstance\x2d00000001.scope", "vm", "instance-00000001"),
    ("/machine/qemu-1-instance-00000001.libvirt-qemu", "vm", "instance-00000001"),
    ("/machine.slice/systemd-nspawn@build.service", "container", "build"),
    ("/openshift/51a0b5f9e4b0a7d2c3000001", "gear", "51a0b5f9e4b0a7d2c3000001"),
]

OTHERS = [
    "/docker",
    "/docker/short",
    "/kubepods",
    "/kubepods/burstable",
    f"/machine.slice/libpod-conmon-{ID}.scope",
    f"/kubepods.slice/kubepods-pod{LOW}.slice/crio-conmon-{ID}.scope",
    "/openshift",
    "/openshift/gear/inner",
    "/machine.slice/machine-qemu.scope/libvirt",
    "/lxc",
    f"/elsewhere/{ID}",
]


@pytest.mark.parametrize(("path", "kind", "name"), UNITS)
def test_a_unit(path: str, kind: str, name: str) -> None:
    assert rules.match(path) == (kind, name)


@pytest.mark.parametrize("path", OTHERS)
def test_no_unit(path: str) -> None:
    assert rules.match(path).kind not in KINDS


@pytest.mark.parametrize(("path", "kind", "name"), UNITS)
def test_only_managers_have_units_below_them(path: str, kind: str, name: str) -> None:
    assert rules.match(path).is_leaf == (kind not in ("systemd", "pod"))


def test_a_helper_has_no_units_below_it() -> None:
    assert rules.match(f"/machine.slice/libpod-conmon-{ID}.scope").is_leaf


def test_what_is_nothing_may_have_units_below_it() -> None:
    assert not rules.match("/kubepods/burstable").is_leaf


@given(
    st.text(st.sampled_from("/\\xab01-_@.") | st.characters(exclude_characters="\0"), max_size=60)
)
def test_any_path_has_an_answer(path: str) -> None:
    found = rules.match("/" + path)
    assert found.kind in (*KINDS, "", "helper")


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        (r"a\x2db", "a-b"),
        (r"a\x5cb", "a\\b"),
        (r"\xff.service", r"\xff.service"),  # no UTF-8: as it is
        (r"a\x2", r"a\x2"),
        ("a-b", "a-b"),
    ],
)
def test_escapes_are_undone(escaped: str, name: str) -> None:
    assert rules.unescaped(escaped) == name

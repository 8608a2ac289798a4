# SPDX-License-Identifier: Apache-2.0
"""The nodes of a cloud, from a plain list or from an inventory of Ansible.

A list has a line for each node, `HOST[:PORT] [LABEL=VALUE ...]`, and comments after `#`. Ansible's
is the JSON that `ansible-inventory --list` prints:
https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from shmetrics import plain_file
from shmetrics.config import address
from shmetrics.errors import ConfigError

MOST_BYTES = 64 * 1024 * 1024
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Group(msgspec.Struct):
    """A group of hosts, and of other groups."""

    hosts: list[str] = []
    children: list[str] = []


class Meta(msgspec.Struct):
    """Beside the groups: what is known of each host."""

    hostvars: dict[str, dict[str, Any]] = {}


class Target(msgspec.Struct, frozen=True):
    """Targets that have the same labels, as Prometheus's file_sd and http_sd take them."""

    targets: list[str]
    labels: dict[str, str] = {}


def targets(path: str, port: int, group: str = "") -> list[Target]:
    """Return the targets of a file, in its order.

    Args:
        path: the file.
        port: the port of nodes that name none.
        group: the group of an Ansible inventory whose hosts are meant; "": all hosts.

    Raises:
        ConfigError: one line: the file cannot be read, or is no inventory.
    """
    try:
        text = plain_file.read(path, MOST_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is not UTF-8") from None
    if text.lstrip().startswith("{"):
        return _of_ansible(text, path, port, group)
    if group:
        raise ConfigError(f"{path}: a plain list has no groups; leave out --group {group}")
    return _of_list(text, path, port)


def _of_list(text: str, path: str, port: int) -> list[Target]:
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for n, line in enumerate(text.splitlines(), 1):
        host, *labels = line.partition("#")[0].split() or [""]
        if not host:
            continue
        pairs = [label.partition("=") for label in labels]
        for name, equals, _ in pairs:
            if not equals or not _LABEL.fullmatch(name):
                raise ConfigError(f"{path}: line {n}: {name} is no LABEL=VALUE")
        key = tuple(sorted((name, value) for name, _, value in pairs))
        try:
            found.setdefault(key, []).append(_with_port(host, port))
        except ValueError as error:
            raise ConfigError(f"{path}: line {n}: {error}") from None
    return [Target(hosts, dict(labels)) for labels, hosts in found.items()]


def _of_ansible(text: str, path: str, port: int, group: str) -> list[Target]:
    try:
        found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        meta = msgspec.json.decode(found.pop("_meta", msgspec.Raw(b"{}")), type=Meta)
        groups = {name: msgspec.json.decode(raw, type=Group) for name, raw in found.items()}
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: this is not what `ansible-inventory --list` prints: {error}"
        ) from None
    if group and group not in groups:
        raise ConfigError(f"{path}: no group {group}; there are: {' '.join(sorted(groups))}")
    hosts = _hosts(groups, [group] if group else list(groups))
    try:
        shown = [
            _with_port(str(meta.hostvars.get(host, {}).get("ansible_host", host)), port)
            for host in hosts
        ]
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return [Target(shown)] if shown else []


def _hosts(groups: Mapping[str, Group], names: list[str]) -> list[str]:
    """Return the hosts of groups and of all groups below them, each once, in order."""
    hosts: dict[str, None] = {}
    seen: set[str] = set()
    while names:
        name = names.pop(0)
        if name in groups and name not in seen:
            seen.add(name)
            hosts.update(dict.fromkeys(groups[name].hosts))
            names.extend(groups[name].children)
    return list(hosts)


def _with_port(host: str, port: int) -> str:
    """Return HOST:PORT. Raises ValueError."""
    if host.count(":") > 1 and not host.startswith("["):
        host = f"[{host}]"  # IPv6
    if ":" not in host.rpartition("]")[2]:
        host = f"{host}:{port}"
    parsed = address.parse(host)
    if not parsed.host:
        raise ValueError(f"{host!r} names no host")
    return str(parsed)

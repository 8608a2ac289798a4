# SPDX-License-Identifier: Apache-2.0
"""The probes that there are: those of a gear, as OpenShift lays it out, and those configured.

    <gear>/.env/OPENSHIFT_APP_NAME                      variables, a file each
    <gear>/<cart>/metadata/manifest.yml                 has `Metrics:`
    <gear>/<cart>/bin/metrics                           runs, if it is executable; or else
    <gear>/<cart>/bin/control metrics
    <gear>/<cart>/env/OPENSHIFT_<CART>_IP               variables of the cartridge
    <gear>/app-root/repo/.openshift/action_hooks/metrics    the application's own

The layout is that of OpenShift 2's node (ApplicationContainer, V2CartridgeModel).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shmetrics.config.probe import ProbeOptions
from shmetrics.errors import ConfigError
from shmetrics.probes import manifest
from shmetrics.probes.gear_files import GearFiles
from shmetrics.probes.manifest import BadManifest
from shmetrics.probes.probe import KIND, Owner, Probe
from shmetrics.probes.spawner import listing
from shmetrics.probes.spawner.protocol import VARIABLE

HOOK = "app-root/repo/.openshift/action_hooks/metrics"
# No cartridge can have these names: no directory has a / in its name.
HOOK_NAME = "action_hooks/metrics"
LISTER_NAME = "metadata/files"
LISTED_AGAIN = 10  # intervals of commands, from one listing of a gear's files to the next

MOST_CARTRIDGES = 64  # of a gear
_MOST_VARIABLES = 200  # of a directory
_MOST_VALUE_BYTES = 4096
_MOST_LABEL_CHARACTERS = 200


class Timing(NamedTuple):
    """The times at which the commands of gears run.

    Attributes:
        interval_seconds: the time between two starts of one command.
        timeout_seconds: the time after which one is ended.
    """

    interval_seconds: float = 60.0
    timeout_seconds: float = 1.0


class Found(NamedTuple):
    """The probes of a unit, and what is wrong with others, a line each."""

    probes: list[Probe]
    problems: list[str]


def of_gear(owner: Owner, timing: Timing, files: GearFiles) -> Found:
    """Return the probes of a gear. Reads its files; starts nothing."""
    probes: list[Probe] = []
    problems: list[str] = []
    home = files.home
    try:
        names = files.names("")
    except OSError as error:
        return Found([], [f"{home}: {error.strerror}"])
    carts = [name for name in names if files.has(f"{name}/{manifest.PATH}")]
    if len(carts) > MOST_CARTRIDGES:
        problems.append(f"{home}: {len(carts)} cartridges; {MOST_CARTRIDGES} of them are looked at")
    common: dict[str, str] | None = None
    for cart in carts[:MOST_CARTRIDGES]:
        try:
            metrics = manifest.read(files, cart)
        except BadManifest as error:
            problems.append(str(error))
            continue
        if metrics is None:
            continue
        folder = os.path.join(home, cart)
        command = _command(files, cart)
        if command is None:
            problems.append(
                f"{folder}: its manifest has Metrics, and neither bin/metrics nor bin/control is "
                "an executable file"
            )
            continue
        common = _variables(files, ".env") if common is None else common
        variables = {**common, **_variables(files, f"{cart}/env")}
        made = Probe(owner, cart, command, *timing, directory=folder, environment=variables)
        probes.append(made._replace(cart=cart, metrics=metrics))
    if files.is_executable(HOOK):
        common = _variables(files, ".env") if common is None else common
        hook = (os.path.join(home, HOOK),)
        probes.append(Probe(owner, HOOK_NAME, hook, *timing, directory=home, environment=common))
    return Found(probes, problems)


def lister(owner: Owner, timing: Timing, is_listed: bool) -> Probe:
    """Return the probe that prints the files of a gear whose directory we may not enter.

    Args:
        owner: the gear.
        timing: when commands of gears run.
        is_listed: whether it has done so already: then it is seldom done again.
    """
    interval_seconds = timing.interval_seconds * (LISTED_AGAIN if is_listed else 1)
    timing = timing._replace(interval_seconds=interval_seconds)
    return Probe(owner, LISTER_NAME, listing.COMMAND, *timing, "files", directory=owner.home)


def metadata(files: GearFiles, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return what a gear says of itself, by label.

    Args:
        files: the files of the gear.
        wanted: the variables of `.env`, by label, as node_conf.metadata returns them.

    Returns:
        The labels whose variables are there and are short printable text.
    """
    found = {}
    for label, variable in wanted.items():
        value = _value(files, ".env", variable)
        if value and value.isprintable() and len(value) <= _MOST_LABEL_CHARACTERS:
            found[label] = value
    return found


def configured(options: Iterable[ProbeOptions], spawner_uid: int) -> list[Probe]:
    """Return the probes of the configuration, each of which is a unit of its own.

    Args:
        options: those of `[[gather.probe]]`.
        spawner_uid: the user of the spawner, for those that name none.

    Raises:
        ConfigError: two have one name.
    """
    probes: dict[str, Probe] = {}
    for each in options:
        if each.name in probes:
            raise ConfigError(f"gather.probe: two have the name {each.name!r}; rename one")
        owner = Owner(each.name, KIND, each.uid(spawner_uid), "/")
        probes[each.name] = Probe(
            owner,
            each.name,
            tuple(each.command),
            each.interval_seconds,
            each.timeout_seconds,
            each.format,
        )
    return list(probes.values())


def _command(files: GearFiles, cart: str) -> tuple[str, ...] | None:
    program, control = f"{cart}/bin/metrics", f"{cart}/bin/control"
    if files.is_executable(program):
        return (os.path.join(files.home, program),)
    if files.is_executable(control):
        return os.path.join(files.home, control), "metrics"
    return None


def _variables(files: GearFiles, folder: str) -> dict[str, str]:
    """Return the variables in a directory of a gear; those that the spawner takes."""
    try:
        names = files.names(folder)
    except OSError:
        return {}
    wanted = [name for name in names if re.fullmatch(VARIABLE, name)][:_MOST_VARIABLES]
    values = {name: _value(files, folder, name) for name in wanted}
    return {name: value for name, value in values.items() if value is not None}


def _value(files: GearFiles, folder: str, name: str) -> str | None:
    """Return the value of a variable, None if it has none that can be used."""
    try:
        text = files.read(f"{folder}/{name}", _MOST_VALUE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return None
    text = text.rstrip("\n")
    if text.startswith("export "):  # as older gears have it: export NAME='value'
        try:
            words = shlex.split(text, comments=True)
        except ValueError:
            return None
        text = words[1].partition("=")[2] if len(words) > 1 else ""
    return None if "\0" in text else text

# SPDX-License-Identifier: Apache-2.0
"""`shmetrics check --service-config`: what a service's file, and Nova's cells, lead to."""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shmetrics.cli import main, service_findings
from shmetrics.config import service_file
from shmetrics.errors import ConfigError

SECRET = "s3cr3t"
PLAIN = f"rabbit://nova:{SECRET}@broker:5672/"
PREFIXED = f"shmetrics+{PLAIN}"
FOLLOWING = "{scheme}://{username}:{password}@{hostname}:{port}/{path}"
DATABASE = f"mysql+pymysql://nova:{SECRET}@database/nova_cell1"
WRITE = f"nova-manage cell_v2 update_cell --cell_uuid u1 --transport-url '{FOLLOWING}'"
RESTART = "; then restart Nova's services"

Nova = Callable[..., Path]


@pytest.fixture
def nova(tmp_path: Path) -> Nova:
    """Return `nova(url, cell, more)`, which writes nova.conf, and an API database with one cell."""

    def write(url: str, cell: str = "", more: str = "", database_url: str = DATABASE) -> Path:
        text = f"[DEFAULT]\ntransport_url = {url}\nmy_ip = 10.0.0.1\n{more}\n"
        text += f"[database]\nconnection = {database_url}\n"
        if cell:
            database = tmp_path / "api.sqlite"
            database.unlink(missing_ok=True)
            with sqlite3.connect(database) as connection:
                columns = "id, name, uuid, transport_url, database_connection"
                connection.execute(f"CREATE TABLE cell_mappings ({columns})")
                insert = "INSERT INTO cell_mappings VALUES (?, ?, ?, ?, ?)"
                cells = [
                    (1, "cell0", "u0", "none:///", "sqlite://"),
                    (2, "cell1", "u1", cell, DATABASE),
                ]
                connection.executemany(insert, cells)
            connection.close()
            text += f"[api_database]\nconnection = sqlite:///{database}\n"
        path = tmp_path / "nova.conf"
        path.write_text(text)
        return path

    return write


def found(path: Path) -> tuple[list[str], list[str]]:
    """Return what is well, and what is wrong; neither has a secret."""
    findings = list(service_findings.check(str(path)))
    assert SECRET not in str(findings)
    good, bad = ([f.text for f in findings if f.good is is_good] for is_good in (True, False))
    return good, bad


def test_only_the_file_was_changed_and_cells_are_stored_plain(nova: Nova) -> None:
    path = nova(PREFIXED, PLAIN)
    good, (wrong,) = found(path)
    assert good == [
        f"{path}: transport_url is shmetrics+rabbit://, and is measured",
        "cell cell0: it has no broker",
    ]
    assert wrong == (
        "cell cell1: its stored URL is rabbit://, so what is sent to it is not measured, as the "
        "conductor's casts to compute; set SHMETRICS_OSLO_MESSAGING=1 in the services' environment,"
        f" or {WRITE}{RESTART}"
    )


@pytest.mark.parametrize("url", [PLAIN, PREFIXED])
def test_a_cell_is_stored_with_the_prefix(nova: Nova, url: str) -> None:
    _, (wrong,) = found(nova(url, PREFIXED))
    assert wrong == (
        "cell cell1: its stored URL begins with shmetrics+: each node without shmetrics fails with "
        f"DriverLoadFailure; {WRITE}{RESTART}"
    )


def test_a_mend_leaves_the_cells_database_as_it_is(nova: Nova) -> None:
    """Check a file with another database, which nova-manage would write into the mapping."""
    _, (wrong,) = found(nova(PLAIN, PREFIXED, database_url="mysql://super"))
    assert wrong.endswith(
        f"; {WRITE} --database_connection URL, where URL is its database_connection in "
        f"cell_mappings{RESTART}"
    )


def test_a_cell_that_follows_each_service(nova: Nova) -> None:
    good, wrong = found(nova(PREFIXED, FOLLOWING))
    assert (good[-1], wrong) == (
        "cell cell1: its URL follows the transport_url of each service",
        [],
    )


@pytest.mark.parametrize(
    ("url", "is_whole"),
    [
        ("shmetrics+rabbit://guest@broker:5672/", False),
        ("rabbit://guest:guest@broker/nova", False),
        ("rabbit://broker:5672/", False),
        ("rabbit://guest:guest@[::1]:5672/nova?ssl=1", True),
        ("rabbit://guest:guest@$host:$port/", True),
        ("rabbit://guest:guest@one,guest:guest@two/", True),
    ],
)
def test_a_template_needs_a_whole_url(nova: Nova, url: str, is_whole: bool) -> None:
    _, wrong = found(nova(url, FOLLOWING))
    assert ["its URL is filled in from transport_url" in each for each in wrong] == (
        [] if is_whole else [True]
    )


def test_a_driver_that_oslo_messaging_does_not_have(nova: Nova) -> None:
    path = nova("shmetrics+rabit://nova:x@broker:5672/")
    _, (wrong,) = found(path)
    assert wrong.startswith(
        f"{path}: transport_url is shmetrics+rabit://, and oslo.messaging has no driver rabit; "
    )
    assert wrong.endswith(" rabbit")


def test_nothing_is_prefixed(nova: Nova) -> None:
    path = nova(PLAIN, PLAIN)
    good, wrong = found(path)
    assert good[0].startswith(f"{path}: transport_url has no prefix shmetrics+; what the service")
    assert good[-1].endswith("it is measured in services with SHMETRICS_OSLO_MESSAGING=1")
    assert wrong == []


def test_a_database_that_cannot_be_read(nova: Nova, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = f"[api_database]\nconnection = sqlite://{SECRET}/none"
    path = nova(PREFIXED, more=elsewhere)
    _, (wrong,) = found(path)
    assert wrong.startswith(
        f"{path}: [api_database] cannot be read (ArgumentError); SELECT name, t"
    )
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)  # as if it was not installed
    _, (wrong,) = found(path)
    assert "(sqlalchemy is not installed); SELECT name, transport_url FROM cell_map" in wrong


def test_a_compute_node_has_no_api_database(nova: Nova) -> None:
    good, wrong = found(nova(PREFIXED))
    assert "no [api_database], where Nova keeps its cells; SELECT name, transport" in good[-1]
    assert wrong == []


def test_stock_metrics_beside_the_prefix(nova: Nova) -> None:
    more = "[oslo_messaging_metrics]\nmetrics_enabled = True"
    _, (wrong,) = found(nova(PREFIXED, more=more))
    assert wrong.endswith("; set metrics_enabled = false")
    assert found(nova(PLAIN, more=more))[1] == []


def test_notifications_with_a_url_of_their_own(nova: Nova) -> None:
    more = f"[oslo_messaging_notifications]\ntransport_url = {PLAIN}"
    good, _ = found(nova(PREFIXED, more=more))
    assert "notifications have a transport_url of their own, and are not measured" in good[1]


def test_the_command(nova: Nova, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--service-config", str(nova(PREFIXED, PLAIN))]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("WRONG  cell cell1: ")
    assert main(["check", "--service-config", str(nova(PREFIXED, FOLLOWING))]) == 0
    assert main(["check", "--service-config", str(nova(PREFIXED))]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("?      ")


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nova.conf"
    with pytest.raises(ConfigError, match="No such file or directory"):
        service_file.read(str(path))
    path.write_text(f"[DEFAULT]\ntransport_url\n{SECRET}\n")
    with pytest.raises(ConfigError) as caught:
        service_file.read(str(path))
    assert (
        str(caught.value)
        == f"{path}: line 2 is not in the form of oslo.config: [group], or option = value"
    )
    monkeypatch.setitem(sys.modules, "oslo_config", None)
    with pytest.raises(ConfigError, match=r"pip install 'shmetrics\[oslo\]'"):
        service_file.read(str(path))


def test_values_are_taken_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "service.conf"
    path.write_text("[DEFAULT]\ntransport_url = shmetrics+rabbit://u:a$$b@$my_ip/\n")
    read: Any = service_file.read(str(path))
    assert (read.transport_url, read.is_prefixed) == ("shmetrics+rabbit://u:a$b@$my_ip/", True)

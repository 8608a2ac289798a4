# SPDX-License-Identifier: Apache-2.0
"""An oslo.metrics configuration file works as it stands."""

import sys
import warnings
from pathlib import Path

import pytest
from oslo_config import cfg

from shmetrics import config
from shmetrics.errors import ConfigError


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "oslo-metrics.conf"
    path.write_text(text)
    return config.load(oslo_path=str(path))


def test_all_options(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[DEFAULT]\ndebug = true\n"
        "[oslo_metrics]\nmetrics_socket_file = /var/tmp/x.sock\nprometheus_host = 127.0.0.1\n"
        "prometheus_port = 3001\nmetrics_socket_perm = 432\nwsgi_silent_server = false\n"
        "[oslo_messaging_metrics]\nmetrics_enabled = true\n",
    )
    assert found.oslo_metrics_socket == "/var/tmp/x.sock"
    assert found.oslo_metrics_socket_mode == 0o660
    assert found.listen == "127.0.0.1:3001"


def test_its_defaults_are_those_of_oslo_metrics(tmp_path: Path) -> None:
    cfg.CONF.reset()  # once somebody has had options parsed, no module may add one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
        from oslo_metrics.__main__ import oslo_metrics_configs

    theirs = {option.name: option.default for option in oslo_metrics_configs}
    found = load(tmp_path, "")
    assert found.oslo_metrics_socket == theirs["metrics_socket_file"]
    assert found.oslo_metrics_socket_mode == theirs["metrics_socket_perm"]
    assert found.address.port == theirs["prometheus_port"]
    assert theirs["prometheus_host"] == ""
    assert found.address.host == "0.0.0.0"


def test_interpolation_is_oslo_configs(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[oslo_metrics]\nmetrics_socket_file = /srv/${oslo_metrics.prometheus_port}.sock\n"
        "prometheus_host = ::1\n",
    )
    assert found.oslo_metrics_socket == "/srv/3000.sock"
    assert found.address == ("::1", 3000)


def test_a_decimal_660_keeps_the_bits_that_chmod_would_set(tmp_path: Path) -> None:
    found = load(tmp_path, "[oslo_metrics]\nmetrics_socket_perm = 660\n")
    assert found.oslo_metrics_socket_mode == 660 & 0o777


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("[oslo_metrics]\nprometheus_port = 70000\n", ["oslo_metrics.prometheus_port: ", "65535"]),
        ("[oslo_metrics]\nmetrics_socket_perm = rw\n", ["metrics_socket_perm: ", "'rw'"]),
        ("[oslo_metrics]\nmetrics_socket_file = $x/y\n", ["metrics_socket_file: ", "option x"]),
        ("no section\n", ["oslo-metrics.conf"]),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, pieces: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "oslo-metrics.conf"))
    assert "\n" not in message
    for piece in pieces:
        assert piece in message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.conf: No such file or directory$"):
        config.load(oslo_path=str(tmp_path / "none.conf"))


def test_without_oslo_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oslo_config", None)
    with pytest.raises(ConfigError, match=r"pip install 'shmetrics\[oslo\]'"):
        load(tmp_path, "")


def test_flags_win_over_it(tmp_path: Path) -> None:
    path = tmp_path / "oslo-metrics.conf"
    path.write_text("[oslo_metrics]\nprometheus_host = 127.0.0.1\n")
    found = config.load(oslo_path=str(path), flags={"--listen": "127.0.0.1:0"})
    assert found.listen == "127.0.0.1:0"

# SPDX-License-Identifier: Apache-2.0
"""The credentials of a client: read from the file, or refused in one line."""

from pathlib import Path

import pytest

from shmetrics.config.http_file import Credentials
from shmetrics.errors import ConfigError
from tests.http.authority import Authority


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Authority(tmp_path).certify("client")
    (tmp_path / "password").write_text("s3cret\n")
    return tmp_path / "http.yml"


def test_everything_in_it_is_read(path: Path) -> None:
    path.write_text(
        "basic_auth: {username: alice, password_file: password}\n"
        "tls_config: {ca_file: ca.crt, cert_file: client.crt, key_file: client.key, "
        "server_name: node-1.example}\n"
    )
    found = Credentials(str(path))
    assert (found.username, found.password) == ("alice", "s3cret")
    assert found.server_name == "node-1.example"
    assert found.context.cert_store_stats()["x509_ca"] == 1


def test_no_file_is_no_credentials() -> None:
    found = Credentials()
    assert (found.username, found.password, found.server_name) == ("", "", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("basic_auth: {user: alice}", "basic_auth.user: no such option; did you mean username?"),
        ("tls_config: {insecure_skip_verify: true}",
         "tls_config.insecure_skip_verify: no such option; there are ca_file, cert_file, key_file, "
         "server_name"),
        ("basic_auth: {username: a, password: b, password_file: c}",
         "basic_auth.password: password_file is given too; keep one of them"),
        ("basic_auth: {username: a, password_file: none}",
         "basic_auth.password_file: {folder}/none: No such file or directory"),
        ("tls_config: {cert_file: client.crt}",
         "tls_config.cert_file: needs key_file beside it; name both or none"),
        ("tls_config: {ca_file: none}", "tls_config.ca_file: {folder}/none: No such file or direc"
         "tory"),
        ("tls_config: {ca_file: password}",
         "tls_config.ca_file: {folder}/password: no certificate in PEM"),
        ("tls_config: {cert_file: ca.crt, key_file: client.key}",
         "tls_config.cert_file: {folder}/ca.crt: no certificate in PEM, or {folder}/client."
         "key is not its key without a password"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Credentials(str(path))
    assert str(caught.value) == f"{path}: {message}".replace("{folder}", str(path.parent))

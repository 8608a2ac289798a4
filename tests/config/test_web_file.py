# SPDX-License-Identifier: Apache-2.0
"""A web configuration file: what stands in it holds, or is refused in one line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shmetrics.config import web_file
from shmetrics.errors import ConfigError
from tests.http.authority import hashed

HASH = hashed()


def problem(tmp_path: Path, text: str) -> str:
    path = tmp_path / "web.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        web_file.read(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert caught.value.exit_status == 2
    return message.removeprefix(f"{path}: ")


def test_everything_in_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(
        f"""
        tls_server_config:
          cert_file: server.crt
          key_file: /etc/server.key
          client_auth_type: RequireAndVerifyClientCert
          client_ca_file: ca.crt
          client_allowed_sans: [prometheus.example, 10.0.0.1]
          min_version: TLS13
          max_version: TLS13
          cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
          prefer_server_cipher_suites: false
          curve_preferences: [X25519]
        http_server_config:
          http2: false
          headers:
            X-Frame-Options: deny
            Strict-Transport-Security: max-age=31536000
        basic_auth_users:
          alice: {HASH}
          bob: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
        rate_limit:
          interval: 1m1.5s
          burst: 20
        """
    )
    found = web_file.read(str(path))
    assert found.tls is not None
    assert found.tls.client_allowed_sans == ["prometheus.example", "10.0.0.1"]
    assert found.http.headers["X-Frame-Options"] == "deny"
    assert set(found.users) == {b"alice", b"bob"}
    assert found.users[b"alice"] == HASH.encode()
    assert found.rate.interval_seconds == 61.5
    assert found.files() == [
        str(path),
        str(tmp_path / "server.crt"),
        "/etc/server.key",
        str(tmp_path / "ca.crt"),
    ]


@pytest.mark.parametrize("text", ["{}", "basic_auth_users: {}\n", "tls_server_config: {}\n"])
def test_an_empty_mapping_lets_everybody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "web.yml"
    path.write_text(text)
    found = web_file.read(str(path))
    assert found.tls is None
    assert not found.users


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this file is empty; write {} if that is intended"),
        ("# basic_auth_users:\n", "this file is empty; write {} if that is intended"),
        ("---\n...\n", "this file is empty; write {} if that is intended"),
        ("x: &x [*x]", "line 1: this is not YAML: an alias uses this value again; write it out"),
        ("x: &x {<<: *x}",
         "line 1: this is not YAML: an alias uses this value again; write it out"),
        ("x: &x 1\ny: [*x, *x]",
         "line 1: this is not YAML: an alias uses this value again; write it out"),
        ("x: " + "[" * 5000, "this is nested too deeply"),
        ("{" * 5000, "this is nested too deeply"),
        ("x: " + "1" * 5000, "this is not YAML in UTF-8"),
        ("x" * 300_000, "this is larger than 256 KiB"),
        ('"a\\nb": 1', "a\\nb: no such option; there are tls_server_config, http_server_config, "
         "basic_auth_users, rate_limit"),
        ("tls_server_conf: {}", "tls_server_conf: no such option; did you mean tls_server_config?"),
        ("tls_server_config: {certfile: x}",
         "tls_server_config.certfile: no such option; did you mean cert_file?"),
        ("basic_auth_users:", "basic_auth_users: this has to be a table"),
        ("tls_server_config:", "tls_server_config: this has to be a table"),
        ("basic_auth_users: {alice: secret}",
         "basic_auth_users.alice: this is not a bcrypt hash; make one: htpasswd -nBC 10 alice"),
        (f"basic_auth_users: {{alice: {HASH[:-1]}}}",
         "basic_auth_users.alice: this is not a bcrypt hash; make one: htpasswd -nBC 10 alice"),
        (f"basic_auth_users: {{alice: $2x${HASH[4:]}}}",
         "basic_auth_users.alice: this is not a bcrypt hash; make one: htpasswd -nBC 10 alice"),
        (f"basic_auth_users: {{'a:b': {HASH}}}",
         "basic_auth_users.a:b: the name of a user cannot have a colon; rename the user"),
        ("basic_auth_users: {alice: 7}", "basic_auth_users: this has to be a string"),
        (f"basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}\n",
         "line 3: this is not YAML: alice is there twice; remove one"),
        ("rate_limit: {burst: 1}\nrate_limit: {burst: 2}",
         "line 2: this is not YAML: rate_limit is there twice; remove one"),
        ("tls_server_config: {cert: a, cert_file: b}",
         "tls_server_config.cert: cert_file is given too; keep one of them"),
        ("tls_server_config: {key: [secret]}",
         "tls_server_config.key: this has to be a string"),
        ("tls_server_config: {prefer_server_cipher_suites: 'yes'}",
         "tls_server_config.prefer_server_cipher_suites: this has to be true or false"),
        ("http_server_config: {headers: {X-Powered-By: x}}",
         "http_server_config.headers.X-Powered-By: cannot be set; there are Content-Security-Policy"
         ", Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection"),
        ("http_server_config: {headers: {X-Frame-Options: DENY}}",
         "http_server_config.headers.X-Frame-Options: 'DENY' is not deny or sameorigin"),
        ('http_server_config: {headers: {X-XSS-Protection: "a\\r\\nb: c"}}',
         "http_server_config.headers.X-XSS-Protection: 'a\\r\\nb: c' is not plain text on one "
         "line"),
        ("rate_limit: {interval: 1s}", "rate_limit.burst: 0 lets no request in; use 1 or more"),
        ("rate_limit: {interval: soon, burst: 1}",
         "rate_limit.interval: 'soon' is not a duration, such as 1s or 500ms"),
        ("a: [", "line 1: this is not YAML: expected the node content, but found '<stream end>'"),
        ("rate_limit: {burst: null}", "rate_limit.burst: this has to be a whole number"),
        ('basic_auth_users: {"\\ud800": x}', "this is not YAML in UTF-8"),
        ("[]", "this is not a table of keys and values"),
        ("1: 2", "this is not a table of keys and values"),
        ("a: !!python/object/apply:os.system ['true']",
         "line 1: this is not YAML: could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object/apply:os.system'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text) == message


@pytest.mark.parametrize(
    "text",
    [
        f"basic_auth_users: {{alice: [{HASH}]}}",
        f"basic_auth_users: {{alice: {HASH}, bob: 7}}",
        f"basic_auth_users: {HASH}",
        "tls_server_config: {key: {BEGIN: hunter2}}",
        'basic_auth_users: {alice: "hunter2\n',
        "basic_auth_users: {alice: hunter2}",
    ],
)
def test_no_secret_is_in_an_error(tmp_path: Path, text: str) -> None:
    message = problem(tmp_path, text)
    assert HASH[:10] not in message
    assert "hunter2" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "none.yml")
    with pytest.raises(ConfigError, match=f"^{path}: No such file or directory$"):
        web_file.read(path)


def test_no_text_at_all(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"web\.yml: this is not YAML in UTF-8$"):
        web_file.read(str(path))


@pytest.mark.parametrize(("missing", "key"), [("yaml", ""), ("bcrypt", "basic_auth_users: ")])
def test_a_missing_library_is_one_line(tmp_path: Path, missing: str, key: str) -> None:
    path = tmp_path / "web.yml"
    path.write_text(f"basic_auth_users: {{alice: {HASH}}}\n")
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from shmetrics.cli import main\n"
        f"sys.exit(main(['collector', '--runtime-dir', {str(tmp_path / 'run')!r}, '--listen',"
        f" '127.0.0.1:0', '--web-config', {str(path)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"shmetrics: {path}: {key}")
    assert done.stderr.endswith("is not installed; pip install 'shmetrics[collector]'\n")
    assert done.stderr.count("\n") == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["cert", "key_file", "headers", "http2", "alice", "interval", "burst",
                         "cipher_suites", "x"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KEYS = st.sampled_from(
    ["tls_server_config", "http_server_config", "basic_auth_users", "rate_limit", "other"]
)


@given(st.dictionaries(KEYS | st.text(max_size=8), JSON))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_anything_else_is_read_or_refused_in_a_line(tmp_path_factory: Any, contents: Any) -> None:
    import json

    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(json.dumps(contents))
    try:
        web_file.read(str(path))
    except ConfigError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)

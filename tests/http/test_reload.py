# SPDX-License-Identifier: Apache-2.0
"""A web configuration file that changes: the rules in force stay until a complete file differs."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmetrics.config import web_file
from shmetrics.config.web_file import WebFile
from shmetrics.errors import ConfigError
from shmetrics.http import settled_files
from shmetrics.http.access_rules import RETRY_SECONDS, SETTLE_SECONDS, AccessRules
from tests.http.authority import Authority, hashed
from tests.web.conftest import FakeSource

HASH = hashed()
USERS = f"basic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n"
WHOLE = f"""\
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans:
    - prometheus.example
    - grafana.example
  min_version: TLS13
{USERS}http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
rate_limit:
  burst: 20
  interval: 1m30s
"""


@pytest.fixture(autouse=True)
def hasty() -> None:
    """Replace the fixture of conftest: here each test sets the clock."""


class Watched:
    """Access rules whose clock is ours, and the file that they come from."""

    def __init__(self, folder: Path, text: str = USERS) -> None:
        self.path = folder / "web.yml"
        self.path.write_text(text)
        self.counts = FakeSource()
        self.seconds = 100.0
        self.access = AccessRules(
            str(self.path), self.counts, lambda: self.seconds, lambda seconds: None
        )

    def look(self, seconds: float = 0.5) -> WebFile:
        """Look so many seconds later; return the rules."""
        self.seconds += seconds
        self.access.look()
        return self.access.rules.file

    def settle(self) -> WebFile:
        """Look until the files have settled; return the rules."""
        for _ in range(5):
            self.look(SETTLE_SECONDS)
        return self.access.rules.file


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: Any) -> Path:
    """Make a folder with the certificates of WHOLE."""
    folder = tmp_path_factory.mktemp("certified")
    assert isinstance(folder, Path)
    Authority(folder).certify("server")
    return folder


def protects_as_well(now: WebFile, before: WebFile) -> bool:
    """Tell whether no client may come in that could not before."""
    assert before.tls is not None
    if now.tls is None or not now.users or not now.users.items() <= before.users.items():
        return False
    names = set(now.tls.client_allowed_sans)
    return (
        bool(names)
        and names <= set(before.tls.client_allowed_sans)
        and now.tls.client_auth_type == before.tls.client_auth_type
        and now.tls.min_version == before.tls.min_version
        and now.http == before.http
        and now.rate == before.rate
    )


@pytest.mark.slow
def test_wherever_a_file_is_cut_short_it_protects_as_well(certified: Path) -> None:
    """Check files as a writer leaves them that is killed, or has a full disk."""
    watched = Watched(certified, WHOLE)
    before = watched.access.rules.file
    taken = set()
    for end in range(len(WHOLE)):
        watched.path.write_text(WHOLE[:end])
        assert protects_as_well(watched.settle(), before), WHOLE[:end]
        if watched.access.rules.file.text != before.text:
            taken.add(WHOLE[:end])
        watched.path.write_text(WHOLE)
        assert watched.settle().text == before.text
    assert taken == {WHOLE[:-1]}  # its last line end is missing, and nothing else


@pytest.mark.parametrize("lines", range(1, 1 + WHOLE.count("\n")))
def test_a_line_that_is_missing_is_no_word_against_it(certified: Path, lines: int) -> None:
    watched = Watched(certified, WHOLE)
    before = watched.access.rules.file
    left = WHOLE.splitlines(keepends=True)
    del left[lines - 1]
    watched.path.write_text("".join(left))
    assert protects_as_well(watched.settle(), before)


Step = Callable[[Watched], object]


def writing(text: str, cuts: list[int]) -> Iterator[Callable[[Path], object]]:
    """Yield the steps of writing a file in place, in pieces that end at the cuts."""
    yield lambda path: path.open("w").close()
    ends = sorted({*(cut % len(text) for cut in cuts), len(text)})
    for begin, end in zip([0, *ends], ends, strict=False):
        yield lambda path, piece=text[begin:end]: append(path, piece)  # type: ignore[misc]


def append(path: Path, piece: str) -> None:
    with path.open("a") as file:
        file.write(piece)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([USERS, USERS.replace("alice", "carol"), WHOLE[WHOLE.index("basic"):]]),
            st.lists(st.integers(0, 10_000), max_size=4),
            st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0, 3.0]), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=4,
    )
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_nobody_comes_in_however_it_is_written(rewrites: Any) -> None:
    """Check a file that is written in pieces of any size, with looks before, between and during
    them."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        watched = Watched(Path(folder))
        real_read = web_file.read
        steps: list[Callable[[Path], object]] = []

        def read_while_it_is_written(path: str) -> WebFile:
            found = real_read(path)
            if steps:
                steps.pop(0)(watched.path)
            return found

        patch.setattr(web_file, "read", read_while_it_is_written)
        for text, cuts, pauses in rewrites:
            steps += writing(text, cuts)
            turn = 0
            while steps:
                steps.pop(0)(watched.path)
                users = watched.look(pauses[turn % len(pauses)]).users
                assert users
                assert set(users.values()) == {HASH.encode()}
                turn += 1
        assert watched.settle().text == watched.path.read_bytes()


def test_a_thousand_rewrites_with_the_same_contents_let_nobody_in(watched: Watched) -> None:
    for _ in range(1000):
        for step in writing(USERS, [7, 70]):
            step(watched.path)
            assert set(watched.look(0.01).users) == {b"alice", b"bob"}
    assert watched.settle().text == USERS.encode()
    assert watched.counts.reloads in ([], ["taken"])


def test_what_changes_while_it_is_read_is_not_taken(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check a file that is complete at both looks, and has other users between them."""
    real_read = web_file.read
    stranger = f"basic_auth_users:\n  eve: {HASH}\n"
    watched.path.write_text(stranger)

    def read(path: str) -> WebFile:
        found = real_read(path)
        watched.path.write_text(USERS)
        return found

    watched.look()
    monkeypatch.setattr(web_file, "read", read)
    assert set(watched.look(SETTLE_SECONDS).users) == {b"alice", b"bob"}
    assert watched.counts.reloads == []


def test_a_change_is_taken_a_second_after_the_last_touch(watched: Watched) -> None:
    watched.path.write_text(USERS.replace("alice", "carol"))
    watched.look(100.0)
    watched.look(0.9 * SETTLE_SECONDS)
    append(watched.path, "# by ansible\n")
    assert b"alice" in watched.look(0.5).users
    assert b"alice" in watched.look(0.9 * SETTLE_SECONDS).users
    assert set(watched.look(0.2).users) == {b"carol", b"bob"}
    assert watched.counts.reloads == ["taken"]


# ---- what takes protection away ------------------------------------------------------------------

CLIENTS = WHOLE[: WHOLE.index("basic")]
OTHERS = WHOLE[WHOLE.index("basic") :]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (USERS, "", "this file is empty; write {} if that is intended"),
        (USERS, "\n# basic_auth_users\n", "this file is empty; write {} if that is intended"),
        (USERS, "rate_limit:\n  burst: 1\n",
         "basic_auth_users: was in force and is missing; if it is to end, say basic_auth_users: "
         "{}"),
        (USERS, "basic_auth_users:\n", "basic_auth_users: this has to be a table"),
        (WHOLE, CLIENTS, "basic_auth_users: was in force and is missing; if it is to end, say "
         "basic_auth_users: {}"),
        (WHOLE, OTHERS, "tls_server_config: TLS begins and ends with a restart of the collector"),
        (WHOLE, "{}\n", "tls_server_config: TLS begins and ends with a restart of the collector"),
        (WHOLE, "tls_server_config: {}\n" + OTHERS,
         "tls_server_config: TLS begins and ends with a restart of the collector"),
        (WHOLE, WHOLE.replace("  min_version: TLS13\n", ""),
         "tls_server_config.min_version: was in force and is missing; if it is to end, say so"),
        (WHOLE, WHOLE.replace("    X-Frame-Options: deny\n", ""),
         "http_server_config.headers.X-Frame-Options: was in force and is missing; if it is to "
         "end, say so"),
        (WHOLE, WHOLE.replace("  interval: 1m30s\n", ""),
         "rate_limit.interval: was in force and is missing; if it is to end, say so"),
        (WHOLE, WHOLE[: WHOLE.index("536000")], "this ends within a line; write all of it"),
    ],
)  # fmt: skip
def test_what_is_missing_goes_on(
    certified: Path, caplog: pytest.LogCaptureFixture, old: str, new: str, why: str
) -> None:
    watched = Watched(certified, old)
    before = watched.access.rules
    watched.path.write_text(new)
    watched.settle()
    assert watched.access.rules is before
    assert watched.counts.reloads == ["refused"]
    (error,) = caplog.messages
    assert error == f"{watched.path}: {why}; what was in force before stays so"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (USERS, "basic_auth_users: {}\n"),
        (USERS, "{}"),
        (OTHERS, "{}"),
        (OTHERS, "basic_auth_users: {}\nhttp_server_config: {}\nrate_limit: {}\n"),
        (OTHERS, "basic_auth_users: {}\nhttp_server_config: {headers: {}}\n"
         "rate_limit: {interval: '0', burst: 0}\n"),
        (OTHERS, "basic_auth_users: {}\nrate_limit: {}\nhttp_server_config:\n  headers:\n"
         "    X-Frame-Options: ''\n    Strict-Transport-Security: ''\n"),
    ],
)  # fmt: skip
def test_what_is_said_ends(tmp_path: Path, old: str, new: str) -> None:
    watched = Watched(tmp_path, old)
    watched.path.write_text(new)
    now = watched.settle()
    assert watched.counts.reloads == ["taken"]
    assert not now.users
    assert not any(now.http.headers.values())
    assert not now.rate.interval_seconds


def test_client_certificates_end_where_the_file_says_so(certified: Path) -> None:
    watched = Watched(certified, WHOLE)
    without = WHOLE.replace("RequireAndVerifyClientCert", "NoClientCert").replace(
        "client_allowed_sans:\n    - prometheus.example\n    - grafana.example",
        "client_allowed_sans: []",
    )
    watched.path.write_text(without.replace("  client_ca_file: ca.crt\n", ""))
    now = watched.settle()
    assert now.tls is not None
    assert now.tls.client_auth_type == "NoClientCert"
    assert watched.access.context is not None


def test_the_last_user_in_a_file_may_leave(watched: Watched) -> None:
    """A user who was removed must not come in because the old file began like the new one."""
    watched.path.write_text(USERS[: USERS.index("  bob")])
    assert set(watched.settle().users) == {b"alice"}


# ---- what becomes of its name --------------------------------------------------------------------


def removed(path: Path) -> None:
    path.unlink()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def three_megabytes(path: Path) -> None:
    path.write_bytes(b"x: y\n" * 600_000)


def itself_again_and_again(path: Path) -> None:
    path.write_text("x: &x [*x, *x]\n")


@pytest.mark.parametrize(
    "become",
    [
        *(removed, a_pipe, a_directory, a_device, a_link_to_nothing, three_megabytes),
        itself_again_and_again,
    ],
)
def test_what_cannot_be_read_changes_nothing_and_is_logged_once(
    watched: Watched, become: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    become(watched.path)
    for _ in range(30):
        watched.settle()
    assert set(watched.access.rules.file.users) == {b"alice", b"bob"}
    assert watched.counts.reloads == ["refused"]
    (error,) = caplog.messages
    assert error.startswith(f"{watched.path}: ")
    assert error.endswith("; what was in force before stays so")
    assert "\n" not in error


def test_a_file_that_may_no_longer_be_read_changes_nothing(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: str, most_bytes: int = 0) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    watched.path.chmod(0)
    monkeypatch.setattr("shmetrics.plain_file.read", read)
    assert set(watched.settle().users) == {b"alice", b"bob"}
    assert watched.counts.reloads == ["refused"]


def test_a_link_that_is_turned_to_another_folder_is_followed(tmp_path: Path) -> None:
    """Check a secret of Kubernetes, of which all files change at once."""
    for name, user in (("one", "alice"), ("two", "carol")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "web.yml").write_text(USERS.replace("alice", user))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "web.yml").symlink_to("data/web.yml")
    counts = FakeSource()
    seconds = [0.0]
    access = AccessRules(
        str(tmp_path / "web.yml"), counts, lambda: seconds[0], lambda seconds: None
    )
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").replace(tmp_path / "data")
    for _ in range(3):
        access.look()
        seconds[0] += SETTLE_SECONDS
    assert set(access.rules.file.users) == {b"carol", b"bob"}


def test_what_went_wrong_for_want_of_descriptors_is_tried_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def read(path: str, most_bytes: int = 0) -> bytes:
            raise OSError(24, "Too many open files", path)

        patch.setattr("shmetrics.plain_file.read", read)
        watched.path.write_text(USERS.replace("alice", "carol"))
        assert b"alice" in watched.settle().users
    watched.look(RETRY_SECONDS)
    assert set(watched.access.rules.file.users) == {b"carol", b"bob"}
    assert watched.counts.reloads == ["refused", "taken"]


def test_no_fault_ends_the_watch(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> WebFile:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(web_file, "read", fail)
    watched.path.write_text("basic_auth_users: {}\n")
    assert set(watched.settle().users) == {b"alice", b"bob"}
    assert watched.counts.reloads == ["refused"]


# ---- the files that it names ---------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path) -> Watched:
    Authority(tmp_path).certify("server")
    return Watched(tmp_path, WHOLE)


@pytest.mark.parametrize("name", ["server.crt", "server.key", "ca.crt"])
@pytest.mark.parametrize("become", [removed, a_pipe, a_directory, a_device, three_megabytes])
def test_a_certificate_that_cannot_be_read_leaves_the_old_one(
    secured: Watched, name: str, become: Callable[[Path], None]
) -> None:
    before = secured.access.context
    become(secured.path.with_name(name))
    secured.settle()
    assert secured.access.context is before is not None
    assert secured.counts.reloads == ["refused"]


def cut_of(path: Path) -> Iterator[bytes]:
    """Yield the text cut short within its first block of PEM: in its head, its middle and its
    last line."""
    text = path.read_bytes()
    block = text[: text.index(b"-----END")]
    return (text[:end] for end in (0, 5, 40, len(block) // 2, len(block), len(block) + 12))


@pytest.mark.parametrize("name", ["server.crt", "server.key", "ca.crt"])
def test_a_certificate_that_is_cut_short_leaves_the_old_one(secured: Watched, name: str) -> None:
    before = secured.access.context
    path = secured.path.with_name(name)
    for cut in list(cut_of(path)):
        path.write_bytes(cut)
        secured.settle()
        assert secured.access.context is before is not None
    assert "taken" not in secured.counts.reloads


def test_certificate_and_key_are_taken_together_when_both_are_there(secured: Watched) -> None:
    before = secured.access.context
    cert, key = Authority(secured.path.parent).certify("other")
    key.replace(secured.path.with_name("server.key"))
    secured.look()
    secured.look(0.9 * SETTLE_SECONDS)
    cert.replace(secured.path.with_name("server.crt"))
    secured.settle()
    assert secured.access.context is not before
    assert secured.counts.reloads == ["taken"]


def test_a_certificate_that_comes_after_its_name_is_taken(secured: Watched) -> None:
    before = secured.access.context
    secured.path.write_text(WHOLE.replace("server.", "later."))
    secured.settle()
    assert secured.counts.reloads == ["refused"]
    Authority(secured.path.parent).certify("later")
    secured.settle()
    assert secured.counts.reloads == ["refused", "taken"]
    assert secured.access.context is not before


# ---- the start -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n", "# later\n", "basic_auth_users:\n", "basic_auth"])
def test_a_file_that_says_nothing_prevents_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.yml: "):
        Watched(tmp_path, text)


def test_a_file_that_is_being_written_is_waited_for_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(CLIENTS)
    Authority(tmp_path).certify("server")
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            append(path, OTHERS)

    access = AccessRules(str(path), FakeSource(), sleep=sleep)
    assert access.rules.file.text == WHOLE.encode()
    assert waits[0] == SETTLE_SECONDS


def test_a_file_that_never_stops_changing_prevents_the_start(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    with pytest.raises(ConfigError, match="does not stop changing"):
        AccessRules(str(path), sleep=lambda _: append(path, "# more\n"))


def test_a_file_of_before_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "web.yml"
    path.write_text(USERS)
    state = settled_files.state_of([str(path)])
    later_ns = settled_files.changed_ns(state) + int(SETTLE_SECONDS * 1e9)
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    AccessRules(str(path), sleep=lambda _: pytest.fail("it waits"))

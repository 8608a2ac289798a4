# SPDX-License-Identifier: Apache-2.0
"""Certificates for one test: of an authority, a server and its clients."""

from pathlib import Path
from typing import Any

import bcrypt
import trustme
import yaml

PASSWORD = "s3cret: with a colon"


class Authority:
    """An authority that signs certificates, and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._signs = trustme.CA()
        self.file = folder / "ca.crt"
        self._signs.cert_pem.write_to_path(str(self.file))

    def certify(self, name: str, *identities: str) -> tuple[Path, Path]:
        """Write name.crt and name.key for these names or addresses."""
        made = self._signs.issue_cert(*(identities or ("127.0.0.1", "localhost")))
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        made.private_key_pem.write_to_path(str(key))
        cert.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        return cert, key


def hashed(password: str = PASSWORD, cost: int = 4) -> str:
    """Hash a password as a web configuration file has it; cost 4 is the cheapest.

    The salt is always the same: a hash is part of some tests' names.
    """
    return bcrypt.hashpw(password.encode(), b"$2b$%02d$abcdefghijklmnopqrstuu" % cost).decode()


def write(path: Path, contents: dict[str, Any]) -> Path:
    """Write a web configuration file, complete from the first moment."""
    return put(path, yaml.safe_dump(contents))


def put(path: Path, text: str) -> Path:
    """Put a file in its place by a rename: nobody who looks at any moment finds half of it."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    return beside.replace(path)


TLS = {"cert_file": "server.crt", "key_file": "server.key"}

# SPDX-License-Identifier: Apache-2.0
"""The credentials of a client, in the format of promtool's --http.config.file.

The format: https://prometheus.io/docs/prometheus/latest/configuration/promtool/. This module
accepts basic_auth and tls_config, with the keys defined here.
"""

from __future__ import annotations

import os
import ssl

from msgspec import field

from shmetrics import plain_file
from shmetrics.config import yaml_file
from shmetrics.config.client_tls import client_context
from shmetrics.config.section import Section
from shmetrics.errors import ConfigError


class BasicAuth(Section, frozen=True, kw_only=True):
    """The table basic_auth: a user, and a password or the file with it."""

    username: str = ""
    password: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        if self.password and self.password_file:
            raise ValueError("password: password_file is given too; keep one of them")


class TLSClient(Section, frozen=True, kw_only=True):
    """The table tls_config.

    server_name is the name in the server's certificate, if that is not the host of the URL.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file: needs key_file beside it; name both or none")


class HttpFile(Section, frozen=True, kw_only=True):
    """The contents of the file."""

    basic_auth: BasicAuth = field(default_factory=BasicAuth)
    tls_config: TLSClient = field(default_factory=TLSClient)


class Credentials:
    """The credentials in such a file, ready for use.

    Attributes:
        username: the user, or "".
        password: the password, also if the file names a password file.
        server_name: the name in the server's certificate, or "".
        context: the context of TLS.
    """

    def __init__(self, path: str = "") -> None:
        """Read the file, and the files that it names.

        Args:
            path: the path of the file; "": no credentials.

        Raises:
            ConfigError: one line with the file, the key and what is wrong.
        """
        self._path = path
        contents = HttpFile()
        if path:
            contents, _ = yaml_file.decode(yaml_file.load(path), path, HttpFile)
        self.username = contents.basic_auth.username
        self.password = contents.basic_auth.password
        self.server_name = contents.tls_config.server_name
        if contents.basic_auth.password_file:
            self.password = self._read(contents.basic_auth.password_file)
        self.context = self._context(contents.tls_config)

    def _resolve(self, name: str) -> str:
        return os.path.join(os.path.dirname(self._path), name)

    def _read(self, name: str) -> str:
        path = self._resolve(name)
        try:
            return plain_file.read(path).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise ConfigError(f"{self._path}: basic_auth.password_file: {path}: {reason}") from None

    def _context(self, tls: TLSClient) -> ssl.SSLContext:
        files = (tls.ca_file, tls.cert_file, tls.key_file)
        try:
            return client_context(*(self._resolve(name) if name else "" for name in files))
        except ConfigError as error:
            raise ConfigError(f"{self._path}: tls_config.{error}") from None

# SPDX-License-Identifier: Apache-2.0
"""`shmetrics targets`: the nodes of an inventory, as Prometheus discovers them."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from shmetrics.errors import ConfigError, ShmetricsError

SUMMARY = "print the nodes of an inventory as Prometheus's file_sd, or serve them as http_sd"
EXAMPLE = "shmetrics targets inventory.json --group compute --output targets.json"

DEFAULT_PORT = 9464
_SILENT_SECONDS = 10.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "inventory",
        metavar="INVENTORY",
        help="a list with a line for each node, HOST[:PORT] [LABEL=VALUE ...], or the JSON that "
        "`ansible-inventory --list` prints",
    )
    parser.add_argument("--group", default="", help="only the hosts of this group of Ansible's")
    parser.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help=f"the port of nodes that name none (default: {DEFAULT_PORT})",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--output", metavar="FILE", help="replace this file, for file_sd")
    where.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="serve the targets at /, for http_sd, read anew for each request, until SIGTERM",
    )


def run(options: argparse.Namespace) -> int:
    """Print, write or serve the targets.

    Raises:
        ConfigError: the inventory is wrong.
        ShmetricsError: the file cannot be written, or the address cannot be had.
    """
    body = document(options)
    if options.listen:
        _serve(options, options.listen)
    elif options.output:
        _replace(options.output, body)
    else:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    return 0


def document(options: argparse.Namespace) -> bytes:
    """Return the targets as JSON. Raises ConfigError."""
    import msgspec

    from shmetrics.config import inventory

    found = inventory.targets(options.inventory, options.port, options.group)
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


def _replace(path: str, body: bytes) -> None:
    """Replace a file, so that nobody reads half of it."""
    beside = f"{path}.new"
    try:
        with open(beside, "wb") as file:
            file.write(body)
        os.replace(beside, path)
    except OSError as error:
        raise ShmetricsError(f"{path}: {error.strerror}") from None


def _serve(options: argparse.Namespace, listen: str) -> None:
    """Serve the targets until a signal. Raises ShmetricsError."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    from shmetrics.config import address

    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENT_SECONDS

        def do_GET(self) -> None:
            try:
                status, kind, body = 200, "application/json", document(options)
            except ShmetricsError as error:  # Prometheus keeps the targets that it has
                status, kind, body = 500, "text/plain; charset=utf-8", f"{error}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    try:
        where = address.parse(listen)
        server = ThreadingHTTPServer((where.host, where.port), Handler)
    except ValueError as error:
        raise ConfigError(f"--listen: {error}") from None
    except OSError as error:
        raise ShmetricsError(f"{listen}: {error.strerror}") from None
    with server:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        here = address.Address(where.host or "127.0.0.1", server.server_port)
        print(f"shmetrics targets is ready: http://{here}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return

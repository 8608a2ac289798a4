# SPDX-License-Identifier: Apache-2.0
"""A service on oslo.messaging, as stock as they come: run by the broker test, in a process each.

It knows nothing of shmetrics: that is one line of its configuration file. Usage::

    service.py CONFIG_FILE serve|hear|do PARAMETERS

where PARAMETERS is JSON, and belongs to the function of that name. Servers and listeners say
"ready" and run until SIGTERM; a client does what it is told, prints what came of each step, and
ends.
"""

import json
import signal
import sys
import threading
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging import Target  # noqa: E402


class DiskFull(Exception):
    """An exception of a module from which no client rebuilds any: it arrives as RemoteError."""


class Compute:
    """The main interface of a compute node."""

    target = Target(version="5.2")

    def build(self, ctxt: Any, name: str) -> str:
        return f"built {name}"

    def reboot(self, ctxt: Any) -> None: ...

    def refresh(self, ctxt: Any) -> None: ...

    def fail(self, ctxt: Any) -> None:
        raise DiskFull("no space")

    def stall(self, ctxt: Any, seconds: float) -> None:
        time.sleep(seconds)


class Console:
    """Another interface of a compute node."""

    target = Target(namespace="console", version="1.1")

    def token(self, ctxt: Any) -> str:
        return "token"


class Volume:
    """The interface of a volume service."""

    target = Target(namespace="admin", version="2.3")

    def attach(self, ctxt: Any) -> str:
        return "attached"

    def resize(self, ctxt: Any) -> None:
        raise ValueError("smaller than it is")


class Ear:
    """An endpoint of a listener, for notifications of two priorities."""

    def info(self, ctxt: Any, publisher: str, event: str, payload: Any, meta: Any) -> None: ...

    error = info


ENDPOINTS: dict[str, list[Any]] = {"compute": [Compute, Console], "volume": [Volume]}


def serve(transport: Any, target: dict[str, Any], endpoints: str) -> None:
    """Answer on *target* until told to end."""
    made = [kind() for kind in ENDPOINTS[endpoints]]
    until_told(oslo_messaging.get_rpc_server(transport, Target(**target), made))


def hear(transport: Any, targets: list[dict[str, Any]]) -> None:
    """Take in notifications until told to end."""
    made = [Target(**target) for target in targets]
    until_told(oslo_messaging.get_notification_listener(transport, made, [Ear()]))


def until_told(server: Any) -> None:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    server.start()
    print("ready", flush=True)
    told.wait()
    server.stop()
    server.wait()


def do(transport: Any, target: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """Take *steps*, each ``call``, ``cast`` or ``notify``, and say what came of it."""
    client = oslo_messaging.get_rpc_client(transport, Target(**target))
    notifier = oslo_messaging.Notifier(transport, "service")
    for step in steps:
        arguments = step.get("arguments", {})
        prepared = client.prepare(**step.get("prepare", {}))
        try:
            if "call" in step:
                outcome = prepared.call({}, step["call"], **arguments)
            elif "cast" in step:
                outcome = prepared.cast({}, step["cast"], **arguments)
            else:
                outcome = getattr(notifier, step["notify"])({}, step["event"], {})
        except Exception as error:
            outcome = type(error).__name__
        print(json.dumps(outcome), flush=True)


def main() -> None:
    config_file, role, parameters = sys.argv[1:]
    cfg.CONF([], project="service", default_config_files=[config_file])
    transport = oslo_messaging.get_rpc_transport(cfg.CONF)
    roles: dict[str, Any] = {"serve": serve, "hear": hear, "do": do}
    roles[role](transport, **json.loads(parameters))
    transport.cleanup()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""A cloud in small, for the test of the chain: an API, a broker, a worker, a database and Redis.

Both know nothing of traces but what their configuration file switches on. With `too`, what
OSProfiler says is told to its Redis driver as well, so that both reports are of the same run.
Without it, both are services as OSProfiler knows them: they call its initializer, and the API has
its middleware; spans go straight into the lane. Usage::

    chain.py CONFIG_FILE api|worker REDIS_URL DATABASE_URL [too]
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
import wsgiref.simple_server
from collections.abc import Callable, Iterable
from typing import Any

warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported

import oslo_messaging  # noqa: E402
import redis  # noqa: E402
import sqlalchemy  # noqa: E402
from oslo_config import cfg  # noqa: E402
from osprofiler import initializer, notifier, opts, web  # noqa: E402
from osprofiler.drivers.base import get_driver  # noqa: E402

import shmetrics  # noqa: E402
import shmetrics.osprofiler  # noqa: E402
from shmetrics.hooks import wsgi  # noqa: E402
from shmetrics.hooks.osprofiler import driver  # noqa: E402, F401 - now OSProfiler finds it


class Worker:
    """An endpoint that keeps a name in the database, and in Redis."""

    def __init__(self, redis_url: str, database_url: str) -> None:
        self._redis = redis.Redis.from_url(redis_url)
        self._engine = sqlalchemy.create_engine(database_url)

    def keep(self, ctxt: Any, name: str) -> str:
        with self._engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS names (name TEXT)"))
            connection.execute(sqlalchemy.text("INSERT INTO names VALUES (:name)"), {"name": name})
        self._redis.set("name", name)
        if name == "refused":  # and says with which parameters
            raise sqlalchemy.exc.StatementError("no", "INSERT", {"name": name}, ValueError(name))
        return f"kept {name}"


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *said: object) -> None: ...


def api(transport: Any, around: Callable[[Any], Any]) -> None:
    client = oslo_messaging.get_rpc_client(transport, oslo_messaging.Target(topic="worker"))

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/")
        try:
            answer = client.call({}, "keep", name=name)
            start_response("200 OK", [])
        except Exception as error:
            answer = type(error).__name__
            start_response("500 Internal Server Error", [])
        yield answer.encode()

    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, around(application), handler_class=Quiet
    )
    signal.signal(signal.SIGTERM, lambda *of: threading.Thread(target=server.shutdown).start())
    print(f"ready {server.server_port}", flush=True)
    server.serve_forever(0.02)
    server.server_close()


def worker(transport: Any, redis_url: str, database_url: str) -> None:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *of: told.set())
    target = oslo_messaging.Target(topic="worker", server="host-w")
    server = oslo_messaging.get_rpc_server(transport, target, [Worker(redis_url, database_url)])
    server.start()
    print("ready", flush=True)
    told.wait()
    server.stop()
    server.wait()


def tell_both(about: dict[str, str], redis_url: str) -> None:
    """Have spans go to our driver and to OSProfiler's driver for Redis."""
    ours, theirs = (get_driver(url, **about) for url in ("shm://", redis_url))

    def tell(info: dict[str, Any]) -> None:
        ours.notify(info)
        theirs.notify(info)

    notifier.set(tell)
    assert shmetrics.osprofiler.install()


def main() -> None:
    config_file, role, redis_url, database_url, *too = sys.argv[1:]
    cfg.CONF([], project="cloud", default_config_files=[config_file])
    opts.set_defaults(cfg.CONF)
    about = {"project": "cloud", "service": role, "host": "node"}
    if too:
        tell_both(about, redis_url)
    else:
        initializer.init_from_conf(cfg.CONF, None, **about)
    registered = shmetrics.Counter("registered", "Anything")
    while not shmetrics.status()["connected"]:
        registered.inc()  # a span before that would be lost
        time.sleep(0.02)
    transport = oslo_messaging.get_rpc_transport(cfg.CONF)
    if role == "api":
        api(transport, wsgi.middleware if too else web.WsgiMiddleware)
    else:
        worker(transport, redis_url, database_url)
    transport.cleanup()


if __name__ == "__main__":
    main()

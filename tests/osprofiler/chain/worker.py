# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.osprofiler.chain.worker FILE`: an RPC server with a database and a Redis."""

from __future__ import annotations

import os
import warnings
from typing import Any

import oslo_messaging
import redis
import sqlalchemy
from osprofiler import profiler

from tests.osprofiler.chain import service


class Worker:
    def __init__(self) -> None:
        self._engine = sqlalchemy.create_engine(os.environ["CHAIN_DATABASE"])
        self._redis = redis.Redis.from_url(os.environ["CHAIN_REDIS"])
        with self._engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE servers (name TEXT UNIQUE)"))

    def build(self, ctxt: Any, name: str) -> int:
        add = sqlalchemy.text("INSERT INTO servers VALUES (:name)")
        with self._engine.begin() as connection:
            connection.execute(add, {"name": name})
        try:
            with self._engine.begin() as connection:
                connection.execute(add, {"name": name})  # there is one of this name
        except sqlalchemy.exc.IntegrityError:
            self._redis.set("last", name)
        return self._count()

    @profiler.trace("count", {"what": ["servers", 1, 2.5, None, True]}, hide_args=True)
    def _count(self) -> int:
        with self._engine.begin() as connection:
            found = connection.execute(sqlalchemy.text("SELECT count(*) FROM servers"))
            return int(found.scalar_one())


def main() -> None:
    _, transport = service.start("worker")
    target = oslo_messaging.Target(topic="worker", server="node-1")
    server = oslo_messaging.get_rpc_server(transport, target, [Worker()], executor="threading")
    server.start()
    service.until_told()
    server.stop()
    server.wait()
    transport.cleanup()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()

# SPDX-License-Identifier: Apache-2.0
"""A user of python-zaqarclient, run in Zaqar's environment. It prints what it saw, as JSON.

The one argument is JSON: `url`, `project`, `key` (by which its trace is signed; "": no trace),
`base_id` and `steps`, which are names of functions below.
"""

import json
import sys
import uuid
from typing import Any

from osprofiler import profiler, web
from zaqarclient.queues import client

QUEUE = "orders"


def post(queue: Any) -> Any:
    queue.post([{"body": "one", "ttl": 300}, {"body": "two", "ttl": 300}])


def read(queue: Any) -> Any:
    return sorted(message.body for message in queue.messages(echo=True))


def claim(queue: Any) -> Any:
    claimed = list(queue.claim(ttl=600, grace=60))
    for message in claimed:
        message.delete()
    return sorted(message.body for message in claimed)


def delete(queue: Any) -> Any:
    queue.delete()


def run(told: dict[str, Any]) -> dict[str, Any]:
    options = {"auth_opts": {"backend": "noauth", "options": {"os_project_id": told["project"]}}}
    base_id = told["base_id"] or str(uuid.uuid4())
    if told["key"]:
        web.enable(told["key"])
        profiler.init(told["key"], base_id=base_id, parent_id=base_id)
    queue = client.Client(told["url"], version=2, conf=options).queue(QUEUE)
    seen = [globals()[step](queue) for step in told["steps"]]
    return {"base_id": base_id, "seen": seen}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))))

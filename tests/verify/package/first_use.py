# SPDX-License-Identifier: Apache-2.0
"""The first minute with an installed shmetrics: start a collector, record, scrape, stop.

A program of its own, so that it can run where nothing but the wheel and `shmetrics[collector]` is
installed. Ends with status 0 if everything it recorded is shown, and says what is missing if not.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

PATIENCE_S = 60

EXPECTED = (
    'first_use_total{hostname="here",queue="fast"} 3.0',
    'first_use_seconds_bucket{hostname="here",le="0.025"} 1.0',
    'oslo_messaging_rpc_client_invocation_end_total{call_type="call"',
    'oslo_messaging_rpc_client_exception_total{call_type="call"',
)


def record() -> None:
    """Record as a service does. The import comes only now, when the runtime directory is known."""
    import shmetrics
    from shmetrics import rpc

    jobs = shmetrics.Counter("first_use_total", "Things done", ["queue"]).labels("fast")
    jobs.inc()
    jobs.inc(2)
    shmetrics.Histogram("first_use_seconds", "Time per thing").observe(0.012)
    call = rpc.client_call(call_type="call", exchange="nova", topic="compute", method="build")
    with call():
        pass
    try:
        with call():
            raise KeyError("instance")
    except KeyError:
        pass
    deadline = time.monotonic() + PATIENCE_S
    while not shmetrics.status()["connected"]:  # it waits 50 ms for a lane, and then asks again
        if time.monotonic() > deadline:
            sys.exit(f"not connected to the collector: {shmetrics.status()}")
        time.sleep(0.05)
        jobs.inc(0)


def missing(exposition: str) -> list[str]:
    return [
        line for line in EXPECTED if not any(x.startswith(line) for x in exposition.split("\n"))
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="shm-first-") as directory:
        os.environ["SHMETRICS_RUNTIME_DIR"] = os.path.join(directory, "run")
        os.mkdir(os.environ["SHMETRICS_RUNTIME_DIR"], 0o700)
        config = os.path.join(directory, "shmetrics.toml")
        with open(config, "w") as file:
            file.write('listen = "127.0.0.1:0"\nconstant_labels = { hostname = "here" }\n')
        command = [os.path.join(os.path.dirname(sys.executable), "shmetrics"), "collector"]
        command += ["--config", config]
        collector = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert collector.stdout is not None
            if not select.select([collector.stdout], [], [], PATIENCE_S)[0]:
                sys.exit("the collector did not say that it is ready")
            ready = collector.stdout.readline()
            words = [word for word in ready.split() if word.startswith("http://")]
            if not words:
                sys.exit(f"the collector's line names no URL: {ready!r}")
            record()
            url = words[0].rstrip("/").removesuffix("/metrics") + "/metrics"
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                exposition = answer.read().decode()
        finally:
            collector.send_signal(signal.SIGTERM)
            collector.communicate(timeout=PATIENCE_S)
        if absent := missing(exposition):
            print(exposition)
            sys.exit(f"not shown: {absent}")
        if collector.returncode:
            sys.exit(f"the collector ended with status {collector.returncode}")
    print("first use: recorded, collected, scraped")
    return 0


if __name__ == "__main__":
    sys.exit(main())

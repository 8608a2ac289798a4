# SPDX-License-Identifier: Apache-2.0
"""A fleet in one process, scraped by an engine: `python -m benchmarks.fleet --nodes 300`.

The nodes are web services of their own, each on its port and with its own name, over one collector:
answers are rendered and sent as on a real node. Their label sets are those of a compute node of a
small cloud: 5 of RPC clients, 7 of servers, 36 of notifications. Some of them count all the time.

What is printed is of the engine alone: series, samples a second, memory, processor time. Intervals
are shorter than in a real fleet, and kept in their proportion. See docs/fleet.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc

FRESH = [f"shmetrics_rpc_{name}" for name in ("in_flight", "overdue", "oldest_in_flight_seconds")]
FRESH_SECONDS, ALL_SECONDS = 10, 40
MODES = ("classic", "native", "two-job")


# ---- the fleet -----------------------------------------------------------------------------------


def serve(nodes: int) -> None:
    """Serve a fleet until a signal. The first line of its output is the list of its ports."""
    with tempfile.TemporaryDirectory(prefix="shmetrics-fleet-") as folder:
        asyncio.run(_serve(Path(folder), nodes))


async def _serve(folder: Path, nodes: int) -> None:
    from shmetrics.collector.web_service import WebMetrics, WebService
    from shmetrics.config import Config
    from tests.nodes.loopback import Loopback

    here = Loopback(folder)
    here.attach()
    calls = _calls()
    observer = WebMetrics(here.collector.self_metrics)
    services = [
        WebService(
            here.collector,
            Config(listen="127.0.0.1:0", constant_labels={"hostname": f"compute-{n}"}),
            observer,
        )
        for n in range(nodes)
    ]
    print(json.dumps([service.server.address.port for service in services]), flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    serving = [asyncio.create_task(service.serve()) for service in services]
    n = 0
    while not stopping.is_set():
        for call in calls[n % 4 :: 4]:
            with call():
                n += 1
        await asyncio.sleep(0.05)
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


def _calls() -> list[Any]:
    """Return the calls of a compute node; each has been made once."""
    from shmetrics import rpc
    from shmetrics.emitter.instruments import calls_of
    from shmetrics.oslo_families import NOTIFICATION_CLIENT

    notified = calls_of(NOTIFICATION_CLIENT)
    names = dict.fromkeys(NOTIFICATION_CLIENT.label_names, "")
    calls = [rpc.client_call(topic="conductor", method=f"m{n}", timeout="60") for n in range(5)]
    calls += [rpc.server_call(topic="compute", method=f"m{n}") for n in range(7)]
    calls += [notified.labels(**{**names, "event_type": f"instance.e{n}"}) for n in range(36)]
    for call in calls:
        with call():
            pass
    return calls


# ---- the engines ---------------------------------------------------------------------------------


def jobs(mode: str, targets: str) -> list[dict[str, Any]]:
    """Return the scrape jobs of a mode."""
    every = {"file_sd_configs": [{"files": [targets]}]}
    if mode == "classic":
        return [{"job_name": "shmetrics", "scrape_interval": f"{FRESH_SECONDS}s", **every}]
    if mode == "native":
        native = {"params": {"native_only": ["true"]}}
        return [
            {"job_name": "shmetrics", "scrape_interval": f"{FRESH_SECONDS}s", **native, **every}
        ]
    fresh = {"params": {"name[]": FRESH}, "scrape_interval": f"{FRESH_SECONDS}s"}
    rest = {"source_labels": ["__name__"], "regex": "|".join(FRESH), "action": "drop"}
    return [
        {"job_name": "shmetrics-fresh", **fresh, **every},
        {
            "job_name": "shmetrics",
            "scrape_interval": f"{ALL_SECONDS}s",
            "metric_relabel_configs": [rest],
            **every,
        },
    ]


def command(engine: str, folder: Path, port: int, mode: str) -> list[str]:
    """Return the command of an engine."""
    if engine == "prometheus":
        native = ["--enable-feature=native-histograms"] if mode == "native" else []
        return [
            *("prometheus", f"--config.file={folder / 'scrape.yml'}", "--log.level=warn", *native),
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
    return [
        *("victoria-metrics", f"-promscrape.config={folder / 'scrape.yml'}", "-loggerLevel=WARN"),
        *(f"-storageDataPath={folder / 'data'}", f"-httpListenAddr=127.0.0.1:{port}"),
        *("-memory.allowedBytes=2GB", "-promscrape.fileSDCheckInterval=1s"),
    ]


#: What an engine says of itself: label sets in memory, and samples taken so far.
FIGURES = {
    "prometheus": ("prometheus_tsdb_head_series", "prometheus_tsdb_head_samples_appended_total"),
    "victoria-metrics": (
        'vm_cache_entries{type="storage/tsid"}',
        "vm_rows_added_to_storage_total",
    ),
}


def look(engine: str, pid: int, port: int) -> dict[str, float]:
    """Return the figures of an engine at this moment."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()

    def total(name: str) -> float:
        ours = (line for line in lines if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.split()[-1]) for line in ours)

    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    series, samples = FIGURES[engine]
    return {
        "at": time.monotonic(),
        "series": total(series),
        "samples": total(samples),
        "cpu_seconds": (int(stat[11]) + int(stat[12])) / TICKS,
        "rss_bytes": int(status.partition("VmRSS:")[2].split()[0]) * 1024,
    }


@contextmanager
def running(arguments: Sequence[str], log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    output = subprocess.PIPE if log is None else log.open("w")
    process = subprocess.Popen(
        arguments, stdout=output, stderr=None if log is None else output, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def measure(engine: str, mode: str, nodes: int, seconds: float) -> dict[str, float]:
    """Let an engine scrape a fleet; return what it took."""
    from tests.servers.ports import ReservedPort

    port = ReservedPort()
    fleet = [sys.executable, "-m", "benchmarks.fleet", "--serve", str(nodes)]
    with tempfile.TemporaryDirectory(prefix="shmetrics-fleet-") as name, running(fleet) as serving:
        folder = Path(name)
        assert serving.stdout is not None
        ports = json.loads(serving.stdout.readline())
        (folder / "scrape.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_timeout": f"{FRESH_SECONDS}s"},
                    "scrape_configs": jobs(mode, str(folder / "targets.json")),
                }
            )
        )
        (folder / "targets.json").write_text("[]")
        with running(command(engine, folder, port.number, mode), folder / "log") as process:
            time.sleep(5)
            before = look(engine, process.pid, port.number)
            inventory = folder / "nodes"
            inventory.write_text("".join(f"127.0.0.1:{each}\n" for each in ports))
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "shmetrics",
                    "targets",
                    inventory,
                    "--output",
                    folder / "targets.json",
                ],
                check=True,
            )
            time.sleep(ALL_SECONDS + 10)  # each target has been scraped
            begun = look(engine, process.pid, port.number)
            time.sleep(seconds)
            ended = look(engine, process.pid, port.number)
    port.release()
    took = ended["at"] - begun["at"]
    samples = ended["samples"] - begun["samples"]
    return {
        "nodes": nodes,
        "series_per_node": (ended["series"] - before["series"]) / nodes,
        "samples_per_second": samples / took,
        "rss_bytes_per_node": (ended["rss_bytes"] - before["rss_bytes"]) / nodes,
        "rss_bytes_alone": before["rss_bytes"],
        "cpu_ns_per_sample": (ended["cpu_seconds"] - begun["cpu_seconds"]) / samples * 1e9,
    }


def main() -> None:
    """Measure each engine in each mode, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=40, help="of each measurement")
    parser.add_argument("--engine", choices=FIGURES, action="append")
    parser.add_argument("--mode", choices=MODES, action="append")
    parser.add_argument("--serve", type=int, metavar="NODES", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    for engine in options.engine or list(FIGURES):
        if shutil.which(engine) is None:
            print(f"{engine} is not installed", file=sys.stderr)
            continue
        for mode in options.mode or MODES:
            if engine == "victoria-metrics" and mode == "native":
                continue  # 1.79 takes none
            found = measure(engine, mode, options.nodes, options.seconds)
            print(json.dumps({"engine": engine, "mode": mode, **found}), flush=True)


if __name__ == "__main__":
    main()

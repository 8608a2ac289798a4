# SPDX-License-Identifier: Apache-2.0
"""The wheel in an empty environment: it records, its headers compile, its command explains."""

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Installation

RECORD = """
import sys, threading
import shmetrics
from shmetrics import rpc

shmetrics.Counter("jobs_total", "Jobs done", ["queue"]).labels("fast").inc()
shmetrics.Histogram("job_seconds", "Time per job").observe(0.012)
with rpc.client_call(topic="compute", method="build")():
    pass
status = shmetrics.status()
assert status["recorded"] == 4 and not status["dropped"], status
foreign = {"numpy", "prometheus_client", "asyncio", "http", "msgspec"} & set(sys.modules)
assert not foreign, foreign
assert threading.active_count() == 1
print(shmetrics.__file__)
"""

# A service in C: a ring in memory of its own, one record, and the head that makes it exist.
PROGRAM = r"""
#include <stdio.h>
#include <shmetrics/emit.h>

static _Alignas(64) struct shm_header header;
static _Alignas(64) struct shm_record slots[8];

int main(void)
{
    struct shm_ring ring;
    shm_ring_open(&ring, slots, 8, &header);
    if (!shm_ring_has_slot(&ring))
        return 1;
    shm_fill_add(shm_ring_next(&ring), 1, 2.5);
    shm_ring_publish(&ring);
    printf("%d %g\n", (int)atomic_load(&header.producer.head), slots[0].value);
    return 0;
}
"""


def include(installation: Installation) -> str:
    found = installation.run("-c", "import shmetrics; print(shmetrics.get_include())")
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_it_records_without_any_other_package(installation: Installation, tmp_path: Path) -> None:
    environment = {"SHMETRICS_RUNTIME_DIR": str(tmp_path)}
    done = installation.run("-W", "error", "-c", RECORD, environment=environment)
    assert done.returncode == 0, done.stderr
    assert str(installation.home) in done.stdout


def test_the_command_says_what_to_install(installation: Installation) -> None:
    command = str(installation.python.with_name("shmetrics"))
    done = subprocess.run([command, "collector"], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "shmetrics[collector]" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_driver_is_an_entry_point(installation: Installation) -> None:
    listing = (
        "from importlib.metadata import entry_points\n"
        "(point,) = entry_points(group='oslo.messaging.drivers', name='shmetrics')\n"
        "print(point.value)\n"
    )
    done = installation.run("-c", listing)
    assert done.stdout.strip() == "shmetrics.hooks.oslo_messaging:Driver", done.stderr


def test_a_c_program_uses_the_headers(installation: Installation, tmp_path: Path) -> None:
    source, program = tmp_path / "service.c", tmp_path / "service"
    source.write_text(PROGRAM)
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{include(installation)}"]
    subprocess.run(["cc", *flags, str(source), "-o", str(program), "-lm"], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "1 2.5\n"


def test_every_header_stands_alone(installation: Installation, tmp_path: Path) -> None:
    folder = include(installation)
    headers = sorted(Path(folder, "shmetrics").rglob("*.h"))
    assert headers
    for header in headers:
        source = tmp_path / "alone.c"
        source.write_text(f"#include <{header.relative_to(folder)}>\n")
        command = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        done = subprocess.run(
            [*command, f"-I{folder}", str(source)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{header.name}: {done.stderr}"


@pytest.mark.usefixtures("runtime_dir")
def test_the_first_minute(tmp_path: Path) -> None:
    program = Path(__file__).with_name("first_use.py")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

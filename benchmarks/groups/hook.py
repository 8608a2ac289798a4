# SPDX-License-Identifier: Apache-2.0
"""The cost of measuring an RPC of oslo.messaging: our driver, and stock measure_metrics."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks import world
from benchmarks.contender import Contender, Group, Timer

Action = Callable[[int], float]

# Three datagrams per call; the sender's queue holds a thousand and then refuses.
STOCK_BURST_CALLS = 200
SENT_S = 30.0


def transport(url: str) -> Any:
    """A transport. Its configuration is the global one, where the metrics options are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns of itself when it is imported
        import oslo_messaging
    from oslo_config import cfg

    from benchmarks import nothing_driver

    with nothing_driver.installed():
        return oslo_messaging.get_rpc_transport(cfg.CONF, url)


def target() -> Any:
    import oslo_messaging

    return oslo_messaging.Target(topic="compute", server="host-17", version="5.0")


def sends(url: str) -> Timer:
    """The driver's own send(), as oslo.messaging calls it."""
    send = transport(url)._driver.send
    to = target()
    message = {"method": "build_and_run_instance", "args": {}, "version": "5.0"}

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            send(
                to,
                {},
                message,
                wait_for_reply=True,
                timeout=60,
                call_monitor_timeout=None,
                retry=None,
                transport_options=None,
            )
        return perf_counter() - begun

    return timer


def measured_sends(url: str) -> Timer:
    """The same inside stock measure_metrics, as RPCClient has it."""
    driver_transport = transport(url)
    send, conf, to = driver_transport._driver.send, driver_transport.conf, target()
    message = {"method": "build_and_run_instance", "args": {}, "version": "5.0"}
    from oslo_messaging._metrics import measure_metrics

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            with measure_metrics(conf, to, "build_and_run_instance", "call"):
                send(
                    to,
                    {},
                    message,
                    wait_for_reply=True,
                    timeout=60,
                    call_monitor_timeout=None,
                    retry=None,
                    transport_options=None,
                )
        return perf_counter() - begun

    return timer


def calls(url: str) -> Timer:
    """RPCClient.call(), the whole way to the driver and back."""
    way = transport(url)
    import oslo_messaging

    call = oslo_messaging.get_rpc_client(way, target()).prepare(timeout=60).call

    def timer(loops: int) -> float:
        again = repeat(None, loops)
        begun = perf_counter()
        for _ in again:
            call({}, "build_and_run_instance")
        return perf_counter() - begun

    return timer


def plain(make: Callable[[str], Timer]) -> Callable[[], AbstractContextManager[Timer]]:
    return lambda: nullcontext(make("nothing://"))


def hooked(
    make: Callable[[str], Timer],
    around: Callable[[], AbstractContextManager[None]],
    bursts: bool,
) -> Callable[[], AbstractContextManager[Timer]]:
    @contextmanager
    def stage() -> Iterator[Timer]:
        with around():
            timer = make("shmetrics+nothing://")
            timer(20_000)  # register, and fill the ring if nobody drains it
            yield world.in_bursts(timer, 2) if bursts else timer

    return stage


def stock(
    make: Callable[[str], Timer], until_sent: bool
) -> Callable[[], AbstractContextManager[Timer]]:
    """Stock metrics on, with a receiver. until_sent: the clock runs until the queue is empty."""

    @contextmanager
    def stage() -> Iterator[Timer]:
        from benchmarks.sink import sink

        timer = make("nothing://")
        from oslo_config import cfg
        from oslo_messaging._metrics import client

        with sink() as path:
            for option, value in {
                "metrics_enabled": True,
                "metrics_socket_file": path,
                "metrics_process_name": "nova-api",
                "metrics_thread_stop_timeout": 1,
            }.items():
                cfg.CONF.set_override(option, value, group="oslo_messaging_metrics")
            timer(1)
            sender = client.get_collector(cfg.CONF)

            def wait_until_sent() -> float:
                begun = perf_counter()
                while not sender.tx_queue.empty():
                    if perf_counter() - begun > SENT_S:
                        raise RuntimeError("stock metrics were not sent")
                    time.sleep(0.0002)
                return perf_counter() - begun

            def bursts(loops: int) -> float:
                seconds = 0.0
                while loops > 0:
                    seconds += timer(min(loops, STOCK_BURST_CALLS))
                    loops -= STOCK_BURST_CALLS
                    waited = wait_until_sent()
                    seconds += waited if until_sent else 0.0
                return seconds

            yield bursts
            sender.send_thread.join()  # it ends by itself, and needs the receiver until then

    return stage


SEND = Group(
    "hook",
    "One RPC at the driver: what measuring adds",
    "`send()` of a driver that does nothing. *Above the floor* is what the service pays for being "
    "measured.",
    "hook",
    (
        Contender("floor", "the driver alone", plain(sends)),
        Contender(
            "hook", "shmetrics driver, ring with room", hooked(sends, world.collector, bursts=True)
        ),
        Contender(
            "alone",
            "shmetrics driver, no collector",
            hooked(sends, world.no_collector, bursts=False),
        ),
        Contender("stock-off", "stock measure_metrics, disabled", plain(measured_sends)),
        Contender(
            "stock", "stock measure_metrics, in the caller", stock(measured_sends, until_sent=False)
        ),
        Contender(
            "stock-sent",
            "stock measure_metrics, until all is sent",
            stock(measured_sends, until_sent=True),
        ),
    ),
)
CALL = Group(
    "call",
    "RPCClient.call() over a driver that does nothing",
    "All that a service spends in oslo.messaging for one call, except the way to the broker and "
    "back. Stock's check whether its metrics are enabled is in all of them.",
    "hook",
    (
        Contender("floor", "not measured", plain(calls)),
        Contender(
            "hook", "shmetrics driver, ring with room", hooked(calls, world.collector, bursts=True)
        ),
        Contender("stock", "stock metrics, in the caller", stock(calls, until_sent=False)),
    ),
)

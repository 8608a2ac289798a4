# SPDX-License-Identifier: Apache-2.0
"""Everything that happens in a soak, each part in a coroutine of its own, all at the same time."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator

from tests.nodes.hostile import TAIL_AT
from tests.verify.soak import growth
from tests.verify.soak.crew import Member
from tests.verify.soak.intruder import KINDS
from tests.verify.soak.plan import (
    CALM,
    CHILDREN,
    EMITTERS,
    REWRITES,
    TOPICS,
    VETERANS,
    CollectorAct,
)
from tests.verify.soak.scene import Scene

SCRAPE_SECONDS = 0.1
THAWED_SECONDS = 0.05
PAUSES_SECONDS = (0.0, 0.002, 0.02)  # of an emitter between its rounds


# ---- the collector ------------------------------------------------------------------------------


async def collectors(scene: Scene) -> None:
    """Each is killed, restarted or frozen; the last one lives on until all is measured, in calm."""
    acts = scene.plan.collectors()
    rng = scene.plan.rng("collector acts")
    for n, act in enumerate(acts):
        await _act(scene, act, rng, scene.plan.seconds * (1 - CALM) * n / len(acts))
        scene.did(act.kind)
    await scene.ready(scene.plan.config(rng))
    scene.is_calm = True
    await asyncio.sleep(max(scene.plan.seconds - scene.seconds, scene.plan.seconds * CALM))
    await scene.until(
        lambda: not scene.growth.lacking(scene.plan.warm_seconds),
        lambda: f"not measured: {scene.growth.lacking(scene.plan.warm_seconds)}",
    )
    scene.is_over = True


async def _act(scene: Scene, act: CollectorAct, rng: random.Random, due_seconds: float) -> None:
    life = scene.born(act.config)
    if act.after_ready:
        await scene.ready(act.config)
        await asyncio.sleep(max(due_seconds - scene.seconds, 0))
    await asyncio.sleep(act.wait_seconds)
    if act.kind == "collector frozen":
        scene.pause_asking()
        life.signal(signal.SIGSTOP)
        await asyncio.sleep(act.freeze_seconds)
        scene.frozen_seconds += act.freeze_seconds
        if rng.random() < 0.5:  # and the next one finds what it left
            life.kill()
            scene.did("collector killed")
            scene.buried(life)
        else:
            life.signal(signal.SIGCONT)
            await scene.ready(act.config)
        return
    scene.pause_asking()
    if act.kind == "collector killed":
        if act.freeze_seconds:
            life.signal(signal.SIGSTOP)
            await asyncio.sleep(act.freeze_seconds)
            life.signal(signal.SIGCONT)
            _until_it_drains(scene, rng)
        life.kill()
    else:
        await life.stop()
    scene.buried(life)


def _until_it_drains(scene: Scene, rng: random.Random) -> None:
    """Waits for a lane's tail to move: the collector is in the middle of its records then. Whoever
    else is waiting has to."""
    lanes = sorted(scene.lanes_dir.glob("*.lane"))
    if not lanes:
        return
    deadline = time.monotonic() + THAWED_SECONDS
    try:
        with rng.choice(lanes).open("rb") as file:
            before = os.pread(file.fileno(), 8, TAIL_AT)
            while os.pread(file.fileno(), 8, TAIL_AT) == before and time.monotonic() < deadline:
                pass
    except FileNotFoundError:
        return  # retired meanwhile


# ---- those around it ----------------------------------------------------------------------------


async def _times(scene: Scene, what: str) -> AsyncIterator[random.Random]:
    """Once for each time that it is to happen."""
    rng = scene.plan.rng(what)
    while scene.is_wanted(what):
        await asyncio.sleep(rng.uniform(0, 2 * scene.plan.pause_seconds(what)))
        yield rng
        scene.did(what)


def new_emitter(scene: Scene, rng: random.Random) -> Member:
    return scene.crew.emitter(rng.choice(TOPICS), rng.choice(PAUSES_SECONDS))


async def emitters(scene: Scene, staff: list[Member]) -> None:
    """They are killed, and others come. The veterans stay."""
    async for rng in _times(scene, "emitter killed"):
        at = rng.randrange(VETERANS, EMITTERS)
        scene.crew.kill(staff[at])
        staff[at] = new_emitter(scene, rng)


async def moved(scene: Scene, staff: list[Member]) -> None:
    """Emitters that have outgrown their first lane are killed. On a busy machine, few of those who
    are killed at any moment have lived that long."""

    def found() -> list[int]:
        return [n for n in range(VETERANS, EMITTERS) if staff[n].accounts[0].is_in_larger_lane]

    async for rng in _times(scene, "emitter killed in a larger lane"):
        await scene.until(found, lambda: "no emitter moves to a larger lane")
        at = rng.choice(found())
        scene.crew.kill(staff[at])
        staff[at] = new_emitter(scene, rng)


async def endings(scene: Scene, staff: list[Member]) -> None:
    """Some end by themselves, after the end of which others come."""
    async for rng in _times(scene, "emitter ended"):
        at = rng.randrange(VETERANS, EMITTERS)
        if staff[at].accounts[0].has_lane:  # it has begun, and will hear
            scene.crew.end(staff[at])
            staff[at] = new_emitter(scene, rng)


async def storms(scene: Scene) -> None:
    async for rng in _times(scene, "fork storm"):
        scene.crew.storm(rng.choice(TOPICS), CHILDREN)


async def daemons(scene: Scene) -> None:
    async for rng in _times(scene, "daemon"):
        scene.crew.daemon(rng.choice(TOPICS))


async def rewrites(scene: Scene) -> None:
    """The web configuration, again and again, in place and in pieces, as editors and careless
    scripts do it. Whoever asks without a password between them is sent away."""
    async for rng in _times(scene, "web configuration rewritten"):
        for _ in range(REWRITES):
            for _ in scene.web_file.rewrite(rng):
                life = scene.answering
                if life is not None:
                    scene.turned_away += await life.turns_away()


async def intruders(scene: Scene) -> None:
    """Every kind, again and again."""
    kinds = sorted(KINDS)
    scene.plan.rng("kinds").shuffle(kinds)
    following = itertools.cycle(kinds)
    async for _ in _times(scene, "intruder"):
        kind = next(following)
        scene.crew.intruder(kind)
        scene.intruders[kind] += 1


# ---- those who look on --------------------------------------------------------------------------


async def scrapes(scene: Scene, staff: list[Member]) -> None:
    """Each is audited."""
    measured = 0
    while not scene.is_over:
        scene.crew.reap()
        life = scene.answering
        if life is not None:
            least = scene.audit.least()
            try:
                found = await life.scrape()
            except OSError:
                continue  # killed meanwhile
            scene.audit.scraped(least, found)
            if not life.doomed and scene.answering is life:
                is_new = life.number != measured
                measured = life.number
                store_bytes = found.value("shmetrics_quota_used", quota="store_bytes")
                _measure(scene, life.pid, staff, is_new, store_bytes)
        await asyncio.sleep(SCRAPE_SECONDS)


def _measure(scene: Scene, pid: int, staff: list[Member], is_new: bool, store_bytes: float) -> None:
    note, now = scene.growth.note, scene.seconds
    for what, is_so in (("as it comes up", is_new), ("of the last one", scene.is_calm)):
        if is_so:
            note(f"collector: anonymous memory {what}", now, growth.anonymous_bytes(pid))
    note("store: bytes in use", now, store_bytes)
    for veteran in staff[:VETERANS]:
        if veteran.accounts[0].has_lane:
            pid = veteran.process.pid
            note("emitter: anonymous memory", now, growth.anonymous_bytes(pid))
            note("emitter: descriptors", now, len(growth.descriptors(pid)))

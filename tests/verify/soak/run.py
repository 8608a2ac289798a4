# SPDX-License-Identifier: Apache-2.0
"""The soak from its begin to its end: everything at once, and then the exact audit."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Coroutine

from shmetrics.lanes.lane_files import BROKEN, LEDGER, MOST_BROKEN, OWNER
from tests.verify.soak import acts, growth
from tests.verify.soak.account import Wrong
from tests.verify.soak.book import Column
from tests.verify.soak.collectors import Life
from tests.verify.soak.crew import Member
from tests.verify.soak.plan import EMITTERS
from tests.verify.soak.scene import Scene

STAYS = {"lock", "store", "lanes"}


async def run(scene: Scene) -> None:
    """Raises Wrong, in one line, if any promise is broken."""
    rng = scene.plan.rng("staff")
    staff = [acts.new_emitter(scene, rng) for _ in range(EMITTERS)]
    await _together(
        acts.collectors(scene),
        acts.emitters(scene, staff),
        acts.moved(scene, staff),
        acts.endings(scene, staff),
        acts.storms(scene),
        acts.daemons(scene),
        acts.rewrites(scene),
        acts.intruders(scene),
        acts.scrapes(scene, staff),
        progress(scene),
    )
    await _end(scene, staff)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    """Runs all of them; the first failure ends the others."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def progress(scene: Scene) -> None:
    """A line now and then, for whoever waits."""
    while not scene.is_over:
        print(
            f"{scene.seconds:5.0f} s: "
            + ", ".join(f"{what} {n}" for what, n in sorted(scene.done.items()))
            + f"; {scene.audit.scrapes} scrapes, {scene.audit.events} events settled",
            flush=True,
        )
        for _ in range(100):
            if not scene.is_over:
                await asyncio.sleep(0.1)


# ---- the end ------------------------------------------------------------------------------------


async def _end(scene: Scene, staff: list[Member]) -> None:
    config = scene.plan.config(scene.plan.rng("end"))
    life = await scene.ready(config)
    await _gone(scene, [one for one in scene.crew.members if one not in staff])
    await _told(scene, staff)
    last = acts.new_emitter(scene, scene.plan.rng("last"))
    await _told(scene, [last])
    await scene.until(lambda: not _lanes(scene), lambda: f"left over: {_lanes(scene)}")
    scene.crew.reap()
    counts = last.accounts[0].exact
    latest = counts[Column("latest", "common")] if counts else 0
    await _audited(scene, life, latest)
    before = _kinds(life)
    await life.stop()
    scene.buried(life)
    # Another one finds the same.
    life = await scene.ready(config)
    await _audited(scene, life, latest)
    await scene.until(
        lambda: _kinds(life) == before, lambda: f"descriptors: {before}, a new one {_kinds(life)}"
    )
    await life.stop()
    scene.buried(life)
    left = {path.name for path in scene.runtime_dir.iterdir()} - STAYS
    if left:
        raise Wrong(f"left over: {sorted(left)}")


async def _told(scene: Scene, staff: list[Member]) -> None:
    """Tells them to end, once they all have lanes."""

    def alone() -> list[str]:
        return [one.name for one in staff if not one.accounts[0].has_lane]

    await scene.until(lambda: not alone(), lambda: f"without a lane: {alone()}")
    for one in staff:
        scene.crew.end(one)
    await _gone(scene, staff)


async def _gone(scene: Scene, members: list[Member]) -> None:
    def gone() -> bool:
        scene.crew.reap()
        return not any(one in scene.crew.members for one in members)

    await scene.until(gone, lambda: f"still there: {[one.name for one in scene.crew.members]}")


async def _audited(scene: Scene, life: Life, latest: int) -> None:
    least = scene.audit.least()
    found = await life.scrape()
    scene.audit.scraped(least, found)
    scene.audit.finish(found)
    scene.shown = found
    taken = found.sum("shmetrics_events_total") + found.sum("shmetrics_spilled_total")
    if taken < scene.audit.events:  # those of intruders come on top
        raise Wrong(f"the collector counts {taken:.0f} events of {scene.audit.events}")
    if found.value("soak_latest") != latest:
        raise Wrong(f"soak_latest is {found.value('soak_latest'):g}, not {latest}")


def _kinds(life: Life) -> Counter[str]:
    """The collector's descriptors, without their numbers."""
    return Counter(re.sub(r"\d+", "", one) for one in growth.descriptors(life.pid))


def _lanes(scene: Scene) -> list[str]:
    """Everything among the lanes but the few newest that were set aside."""
    names = {path.name for path in scene.lanes_dir.iterdir()}
    aside = {name.removesuffix(BROKEN) for name in names if name.endswith(BROKEN)}
    if len(aside) <= MOST_BROKEN:
        names -= {stem + suffix for stem in aside for suffix in (BROKEN, LEDGER, OWNER)}
    return sorted(names)

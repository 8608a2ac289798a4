# SPDX-License-Identifier: Apache-2.0
"""The plan of a soak: how often everything happens by its minutes, when and to whom by a seed."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

PER_MINUTE = {
    "collector killed": 20,
    "collector frozen": 2,
    "collector restarted": 1.5,
    "emitter killed": 50,
    "emitter killed in a larger lane": 5,
    "emitter ended": 5,
    "fork storm": 2,
    "daemon": 5,
    "web configuration rewritten": 12,  # each time so often:
    "intruder": 5,
}
REWRITES = 10
CALM = 0.2  # the part of the time in which no collector ends, at the end
LONGEST_FREEZE_SECONDS = 60.0
LONGEST_WARMUP_SECONDS = 60.0
TOPICS = tuple(f"t{n}" for n in range(12))
EMITTERS = 6
VETERANS = 2  # of these, never killed
CHILDREN = 12  # of a storm


class CollectorAct(NamedTuple):
    """The fate of a collector, and how long after it was started, or is ready."""

    kind: str
    after_ready: bool
    wait_seconds: float
    freeze_seconds: float = 0.0
    config: str = ""


class Plan:
    """Everything that is chosen before the soak begins."""

    def __init__(self, minutes: float, seed: int) -> None:
        self.minutes = minutes
        self.seed = seed
        self.seconds = 60 * minutes
        self.warm_seconds = min(LONGEST_WARMUP_SECONDS, self.seconds / 4)
        self.wanted = {what: math.ceil(n * minutes) for what, n in PER_MINUTE.items()}

    def rng(self, what: str) -> random.Random:
        """Each part has its own, so that one's haste does not change another's choices."""
        return random.Random(f"{self.seed}/{what}")

    def pause_seconds(self, what: str) -> float:
        """Between two of them, on average, if all are to come in time."""
        return 0.9 * self.seconds / self.wanted[what]

    def collectors(self) -> list[CollectorAct]:
        """One after the other. The longest freeze comes somewhere in the middle."""
        rng = self.rng("collectors")
        acts = [self._kill(rng) for _ in range(self.wanted["collector killed"])]
        acts += [
            CollectorAct("collector restarted", True, rng.uniform(0.1, 1.0), 0.0, self.config(rng))
            for _ in range(self.wanted["collector restarted"])
        ]
        freezes = [rng.uniform(1.0, 3.0) for _ in range(self.wanted["collector frozen"])]
        freezes[0] = max(min(LONGEST_FREEZE_SECONDS, self.seconds / 10), freezes[0])
        acts += [
            CollectorAct("collector frozen", True, rng.uniform(0.1, 0.5), s, self.config(rng))
            for s in freezes
        ]
        rng.shuffle(acts)
        return acts

    def _kill(self, rng: random.Random) -> CollectorAct:
        """While it comes up; while it works; or as soon as it is frozen no more, and has much to
        do: there it is inside of an event as often as not."""
        how = rng.choice(("starting", "working", "thawed", "thawed"))
        wait = rng.uniform(0.0, 0.4 if how == "starting" else 1.0)
        freeze = rng.uniform(0.02, 0.2) if how == "thawed" else 0.0
        config = self.config(rng)
        return CollectorAct("collector killed", how != "starting", wait, freeze, config)

    def config(self, rng: random.Random) -> str:
        """A collector's options: rings small and large, ticks fast and slow."""
        return (
            f"constant_labels = {{}}\ntick_seconds = {rng.choice((0.02, 0.05, 0.3, 1.0))}\n"
            f"[lane]\nrecords = {rng.choice((64, 512, 4096))}\n"
            "[store]\nmax_bytes = 67108864\n"
        )

# SPDX-License-Identifier: Apache-2.0
"""The scene of a soak: the node, the crew, the audit, and what was done so far."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.nodes.samples import Samples
from tests.servers.patience import async_until
from tests.verify.soak.account import Wrong
from tests.verify.soak.audit import Audit
from tests.verify.soak.collectors import Life
from tests.verify.soak.crew import Crew
from tests.verify.soak.growth import Growth
from tests.verify.soak.plan import Plan
from tests.verify.soak.web_file import WebFile

PATIENCE_SECONDS = 180

_FAULT = re.compile(r"Traceback|drain failed|Exception")


class Scene:
    """One soak, as it stands."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.runtime_dir = folder / "node"
        self.lanes_dir = self.runtime_dir / "lanes"
        self._folder = folder
        (folder / "graves").mkdir()
        self.audit = Audit(folder / "graves")
        self.crew = Crew(self.runtime_dir, folder, self.audit, str(plan.seed))
        self.web_file = WebFile(folder / "web.yml")
        self.turned_away = 0
        self.growth = Growth()
        self.done: Counter[str] = Counter()
        self.intruders: Counter[str] = Counter()
        self.shown = Samples()  # at the end
        self.frozen_seconds = 0.0
        self.log_bytes = 0
        self.is_calm = False
        self.is_over = False
        self._lives = 0
        self._life: Life | None = None
        self._answering: Life | None = None
        self._began_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the soak began."""
        return time.monotonic() - self._began_at

    def did(self, what: str) -> None:
        self.done[what] += 1

    def is_wanted(self, what: str) -> bool:
        """Tell whether there has to be more of it: at least as planned, and until it is over."""
        return not self.is_over or self.done[what] < self.plan.wanted[what]

    async def until(self, true: Callable[[], object], what: Callable[[], str]) -> None:
        """Waits; if it is not so in time, something is wrong."""
        try:
            await async_until(true, what, PATIENCE_SECONDS)
        except AssertionError as error:
            raise Wrong(str(error)) from None

    # ---- the collector ----------------------------------------------------------------------

    @property
    def answering(self) -> Life | None:
        """The collector, if it can be asked now."""
        return self._answering

    def born(self, config: str) -> Life:
        """The collector there is, or a new one."""
        if self._life is None:
            self._lives += 1
            number, path = self._lives, self.web_file.path
            self._life = Life(self.runtime_dir, self._folder, number, config, path)
        return self._life

    async def ready(self, config: str) -> Life:
        life = self.born(config)
        if self._answering is None:
            await life.ready()
            self._answering = life
        return life

    def pause_asking(self) -> None:
        """It is frozen, or about to end."""
        self._answering = None

    def buried(self, life: Life) -> None:
        """It has ended; there is none now. Reads what it said."""
        self._life = self._answering = None
        said = life.log
        self.log_bytes += len(said)
        if _FAULT.search(said):
            raise Wrong(f"collector {life.number} met a fault of its own: {said[-4000:]}")
        life.log_path.unlink()

    def abandon(self) -> None:
        """For the end, whatever came."""
        if self._life is not None:
            self._life.abandon()
        self.crew.abandon()

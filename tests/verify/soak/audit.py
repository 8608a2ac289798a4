# SPDX-License-Identifier: Apache-2.0
"""The audit: at every scrape within bounds and never less than before, in the end exact."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.nodes.samples import Samples
from tests.verify.soak import totals
from tests.verify.soak.account import Account, Wrong
from tests.verify.soak.book import EVENTS, Counts
from tests.verify.soak.totals import Sample, Totals

OURS = ("soak_", "hostile_")  # the families of the emitters


class Audit:
    """All accounts, and the samples that were seen last."""

    def __init__(self, graves: Path) -> None:
        self._graves = graves
        self._open: list[Account] = []
        self.gone: set[str] = set()  # names of accounts whose process is gone
        self._exact: list[tuple[Counts, str]] = []
        self._sure: Totals = Counter()
        self._last = Samples()
        self.scrapes = self.compared = self.exact = self.spilled = 0
        self.moved = self.waited = 0  # killed processes, after a move and before it
        self.lost = 0  # events that waited for it

    def add(self, account: Account) -> None:
        self._open.append(account)

    @property
    def events(self) -> int:
        """The events of processes that are gone, without those that they took along."""
        return sum(counts[column] for counts, _ in self._exact for column in EVENTS) - self.lost

    @property
    def accounts(self) -> int:
        return len(self._exact)

    def settle(self) -> None:
        """Makes the accounts of processes exact that are gone, as far as can be."""
        for account in [one for one in self._open if one.name in self.gone]:
            if account.settle(self._graves):
                assert account.exact is not None
                self.gone.remove(account.name)
                self._open.remove(account)
                self._exact.append((account.exact, account.topic))
                self._sure.update(totals.of_events(account.exact, account.topic))
                self._sure.subtract(account.lost)
                self.spilled += account.spilled
                self.moved += account.has_moved
                self.waited += bool(account.lost)
                self.lost += account.lost.total()

    def unsettled(self) -> list[str]:
        return [account.name for account in self._open]

    def least(self) -> Totals:
        """Return what the next scrape has to show. Ask before it."""
        found = self._sure.copy()
        for account in self._open:
            found.update(totals.of_events(account.least(), account.topic))
        return found

    def scraped(self, least: Totals, found: Samples) -> None:
        """Checks a scrape. Raises Wrong."""
        most = self._sure.copy()
        for account in self._open:
            most.update(totals.of_events(account.most(), account.topic))
        for sample, low in least.items():
            shown = found.get(sample, 0)
            if not low <= shown <= most[sample]:
                raise Wrong(f"{_text(sample)} is {shown:g}, not from {low} to {most[sample]}")
        for sample, before in self._last.items():
            if _only_grows(sample) and found.get(sample, 0 if _may_go(sample) else -1) < before:
                raise Wrong(f"{_text(sample)} was {before:g} and is {found.get(sample)}")
        self._last = found
        self.scrapes += 1
        self.compared += len(least)

    def finish(self, found: Samples) -> None:
        """Checks that every total is exact, now that all processes are gone. Raises Wrong."""
        if self._open:
            raise Wrong(f"no exact account of {self.unsettled()}")
        expected: dict[Sample, float] = {**self._sure, **totals.of_the_dead(self._exact)}
        shown = {key: value for key, value in found.items() if _is_audited(key)}
        wrong = [
            f"{_text(key)} is {shown.get(key, 0):g}, not {expected.get(key, 0):g}"
            for key in expected.keys() | shown.keys()
            if shown.get(key, 0) != expected.get(key, 0)
        ]
        if wrong:
            raise Wrong("; ".join(sorted(wrong)))
        self.exact = len(expected)


def _is_audited(sample: Sample) -> bool:
    """Tell whether totals.py can say what it is: not durations of calls, nor the latest gauge."""
    name, labels = sample
    if name.endswith(("_seconds_bucket", "_seconds_sum")):
        return name.startswith("soak_") and dict(labels).get("le") == "+Inf"
    if name == "shmetrics_rpc_abandoned_total":
        return ("side", "rpc") in labels and ("topic", "") not in labels
    return name.startswith("soak_") and name != "soak_latest"


def _only_grows(sample: Sample) -> bool:
    name, _ = sample
    return (name.startswith(OURS) and name.endswith(("_total", "_count", "_bucket"))) or (
        name.startswith("shmetrics_") and name.endswith("_total")
    )


def _may_go(sample: Sample) -> bool:
    """A family that nobody has goes, and what is counted of it too, as long as that is nothing."""
    name, labels = sample
    return name.startswith("shmetrics_") and "family" in dict(labels)


def _text(sample: Sample) -> str:
    name, labels = sample
    return name + "{" + ",".join(f"{key}={value}" for key, value in labels) + "}"

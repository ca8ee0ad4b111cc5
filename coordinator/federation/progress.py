"""How a run stands, for ``federate status``, the model's card and its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from coordinator.federation.jobs import Job
from protocols.federation.accountant import DELTA, epsilon

if TYPE_CHECKING:
    from coordinator.federation.checkpoint import State
    from protocols.federation.verdict import Verdict


class Progress:
    """Counts bytes and writes down each round. Used from the thread of the rounds."""

    def __init__(self, job: Job, write: Callable[[dict[str, Any]], None]) -> None:
        self._job = job
        self._write = write
        self._bytes: dict[str, list[int]] = {}

    def passed(self, site: str, up: int, down: int) -> None:
        """Bytes of messages to and from a site, before TLS."""
        total = self._bytes.setdefault(site, [0, 0])
        total[0] += up
        total[1] += down

    def round(self, state: State) -> None:
        """A round is over."""
        for site, (up, down) in self._bytes.items():
            if site in state.sites:
                state.sites[site].bytes_up += up
                state.sites[site].bytes_down += down
        self._bytes = {site: [0, 0] for site in self._bytes if site in state.sites}
        if state.history:
            state.history[-1]["sites"] = {
                site: {"metric": one.score, "bytes": one.bytes_up + one.bytes_down} for site, one in state.sites.items()
            }
        self._write(self.document(state, None))

    def document(self, state: State, verdict: Verdict | None) -> dict[str, Any]:
        """The JSON of ``federate status``, without state and names."""
        compared = (
            {"global": {}, "best_single_site": {}, "personalised": {}, "start": {}, "against_best_site": "unknown"}
            if verdict is None
            else {k: v or {} for k, v in verdict.document().items()}
        )
        return {
            "round": state.round,
            "rounds": self._job.options.rounds,
            "sites": [
                {
                    "site": site,
                    "metric": record.score,
                    "rounds": record.rounds,
                    "bytes_up": record.bytes_up,
                    "bytes_down": record.bytes_down,
                    "labels_left_out": state.left_out.get(site, []),
                    "dropped": [{"round": number, "code": code} for number, code in record.dropped],
                }
                for site, record in sorted(state.sites.items())
            ],
            "declined": [{"site": site, "code": code} for site, code in sorted(state.declined.items())],
            "labels": list(state.labels),
            "history": state.history,
            **compared,
        }

    def report(self, state: State, verdict: Verdict) -> dict[str, Any]:
        """What stands in the model's manifest: figures and numbers of sites, no site's name."""
        found = verdict.document()
        own, best = found["global"] or {}, found["best_single_site"] or {}
        return {
            "run": self._job.id,
            "from": self._job.model,
            "rounds": state.round,
            "sites": len(state.sites),
            "strategies": sorted({h["strategy"] for h in state.history if "strategy" in h}),
            "exchange": self._job.options.exchange,
            "global": {k: own.get(k) for k in ("mean", "min", "sites")},
            "start_mean": (found["start"] or {}).get("mean"),
            "best_single_site_mean": best.get("mean"),
            "against_best_site": found["against_best_site"],
            "sites_better_alone": len(found["personalised"]),
            "rounds_after_comparison": self._after_comparison(state),
            "privacy": self._privacy(state),
        }

    def _privacy(self, state: State) -> dict[str, Any]:
        """What noise at the sites guarantees for one that answered every time."""
        options = self._job.options
        releases = sum(1 for h in state.history if h["asked"]) + 1  # and the head that it made alone
        found = epsilon(options.noise, releases)
        return {
            "clip": options.clip,
            "noise": options.noise,
            "epsilon": None if found is None else round(found, 2),
            "delta": DELTA,
            "releases": releases,
        }

    def _after_comparison(self, state: State) -> int:
        """In which the sites learned from their held-out images too."""
        from coordinator.federation.refinement import last_rounds

        rounds = self._job.options.rounds
        return max(0, state.round - (rounds - last_rounds(rounds)))

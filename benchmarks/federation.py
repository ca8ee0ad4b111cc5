"""Federated heads on real images: six skewed hospitals against pooled training and against each hospital alone.

Groups (patients) are dealt to a test set that no site sees, to a small start set of the coordinator's, and to six sites by a
Dirichlet distribution over the classes. Everything goes through the node's ClientApp, Flower's strategies and the guard, over
the in-memory grid; features come from the pretrained trunk. ``--table`` prints the table of strategies and attacks as well.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures import data_folder, figure
from honesty import Lab, read_set
from threadpoolctl import threadpool_limits

from coordinator.federation.checkpoint import State
from coordinator.federation.refinement import refine
from coordinator.federation.rounds import Plan
from coordinator.training import metrics
from coordinator.training.linear import Projection
from edge_node.federation.images import LabelledFeatures, held_out
from protocols.federation.choice import STRATEGIES, Strategy
from protocols.federation.exchange import Exchange
from protocols.federation.head import Head, Standard
from protocols.federation.task import Subject
from protocols.federation.verdict import Verdict
from tests.support.federation import MISCHIEFS, FixedSite, Member, MemoryGrid, Mischief, altered, app_of

SETS = ("malaria_cells", "cxr_pneumonia")
TAPS = ("mixed4_avg", "mixed4_max", "mixed7_avg", "mixed7_max")
SITES, ROUNDS, STRENGTH, ALPHA = 6, 20, 1e-3, 0.5
SEEDS = (0, 1, 2, 3, 4, 5)
ATTACKS = ("none", "NaN", "boosted", "label-flipped", "wrong shape", "1e12 examples", "flipped and tripled")
ATTACK_SEEDS = (0, 1, 2)
ATTACKER = 2  # Flower's number of the first site


@dataclass(frozen=True)
class Cast:
    """Who has which images."""

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    names: tuple[str, ...]
    test: np.ndarray
    start: np.ndarray
    site: np.ndarray  # -1: none

    def of_site(self, number: int, flipped: bool = False) -> LabelledFeatures:
        rows = self.site == number
        labels = self.labels[rows]
        labels = len(self.names) - 1 - labels if flipped else labels
        return LabelledFeatures(self.features[rows], self.names, labels, held_out(self.groups[rows]))


def deal(labels: np.ndarray, groups: np.ndarray, seed: int, alpha: float | None) -> tuple[np.ndarray, ...]:
    """Test, start and site of each image; whole groups, a quarter for the test, a twelfth for the start."""
    generator = np.random.default_rng(seed)
    unique = np.unique(groups)
    generator.shuffle(unique)
    usual = {g: int(np.bincount(labels[groups == g]).argmax()) for g in unique}
    tested, started = len(unique) // 4, len(unique) // 4 + max(8, len(unique) // 12)
    place: dict[str, int] = {}
    for label in np.unique(labels):
        mine = [g for g in unique[started:] if usual[g] == label]
        if alpha is None:
            place |= {g: i % SITES for i, g in enumerate(mine)}
        else:
            shares = generator.dirichlet([alpha] * SITES)
            place |= {g: int(generator.choice(SITES, p=shares)) for g in mine}
    test, start = np.isin(groups, unique[:tested]), np.isin(groups, unique[tested:started])
    return test, start, np.array([place.get(g, -1) for g in groups])


def cast(features: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, alpha: float | None) -> Cast:
    names = tuple(f"class {c}" for c in np.unique(labels))
    return Cast(features, labels, groups, names, *deal(labels, groups, seed, alpha))


def score(who: Cast, logits: np.ndarray) -> float:
    return metrics.balanced_accuracy(metrics.confusion(who.labels[who.test], logits.argmax(1), len(who.names)))


@dataclass(frozen=True)
class Outcome:
    state: State
    standard: Standard
    verdict: Verdict

    def logits(self, who: Cast, head: Head | None = None) -> np.ndarray:
        return (head or self.state.head).logits(self.standard.apply(who.features[who.test]))


def federate(
    who: Cast, strategy: Strategy | None = None, attack: str = "none", exchange: Exchange = "float16", **more: float
) -> Outcome:
    standard = Standard.of(who.features[who.start])
    first = Projection(who.features[who.start]).fit(who.labels[who.start], STRENGTH)
    subject = Subject("benchmark", hashlib.sha256(b"trunk").hexdigest(), TAPS)
    members = {}
    for number in range(SITES):
        node = ATTACKER + number
        is_hostile = attack != "none" and node == ATTACKER
        images = who.of_site(number, flipped=is_hostile and "flipped" in attack)
        found = FixedSite(images if len(images.labels) else None)
        mischief = _mischief(attack) if is_hostile else None
        members[node] = Member(app_of(found), mischief)
    grid = MemoryGrid(members)
    plan = Plan(
        subject, who.names, standard, ROUNDS, strategy, anchor=1 / STRENGTH, exchange=exchange, wait_s=0.0, **more
    )
    with tempfile.TemporaryDirectory() as folder:
        begin = standard.standardised(first.weights, first.bias)
        state, verdict = refine(grid, plan, begin, Path(folder), lambda n: f"site {n}")
    return Outcome(state, standard, verdict)


def _mischief(attack: str) -> Mischief | None:
    """What the hostile site does to its replies; tripled stays below the limit at which a change is dropped."""
    if attack == "flipped and tripled":
        return altered(lambda a: {key: (value * 3).astype(value.dtype) for key, value in a.items()})
    return MISCHIEFS[attack][0] if attack in MISCHIEFS else None


def alone(who: Cast) -> list[float]:
    """What each site would reach by itself: the way that training works here, on all its images."""
    found = []
    for number in range(SITES):
        rows = who.site == number
        if len(np.unique(who.labels[rows])) < len(who.names):
            continue
        head = Projection(who.features[rows]).fit(who.labels[rows], STRENGTH)
        found.append(score(who, head.logits(who.features[who.test])))
    return found


def pooled(who: Cast) -> np.ndarray:
    """Logits of training on all images of the start and the sites together."""
    rows = who.start | (who.site >= 0)
    return Projection(who.features[rows]).fit(who.labels[rows], STRENGTH).logits(who.features[who.test])


def difference(who: Cast, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Balanced accuracy of ours minus theirs, with the 95 % interval of paired resampling by group."""
    truth, groups = who.labels[who.test], who.groups[who.test]
    at = metrics.Resampling(groups)
    classes = len(who.names)
    hits = [
        np.stack(
            [np.bincount(at.group_of, (truth == c) & (x.argmax(1) == c), at.groups) for c in range(classes)], axis=1
        )
        for x in (ours, theirs)
    ]
    totals = np.stack([np.bincount(at.group_of, truth == c, at.groups) for c in range(classes)], axis=1)
    drawn = np.concatenate(
        [np.nanmean((d @ hits[0] - d @ hits[1]) / np.maximum(d @ totals, 1e-9), axis=1) for d in at.blocks()]
    )
    value = float(np.mean((hits[0].sum(0) - hits[1].sum(0)) / totals.sum(0)))
    low, high = np.percentile(drawn, (2.5, 97.5))
    return value, float(low), float(high)


def headline(name: str, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Against pooled training and the best single site, for each seed and over the seeds."""
    rows = []
    for seed in SEEDS:
        who = cast(*data, seed, ALPHA)
        found = federate(who)
        ours, theirs = found.logits(who), pooled(who)
        single = alone(who)
        start = score(who, found.logits(who, found.state.anchor))
        gap, low, high = difference(who, ours, theirs)
        rows.append((score(who, ours), score(who, theirs), max(single), gap))
        sizes = [np.bincount(who.labels[who.site == k], minlength=len(who.names)).tolist() for k in range(SITES)]
        sys.stderr.write(
            f"{name} seed {seed}: sites {sizes}, test {who.test.sum()} images of "
            f"{len(np.unique(who.groups[who.test]))} groups: start {start:.3f}, federated {rows[-1][0]:.3f}, "
            f"pooled {rows[-1][1]:.3f} (difference {100 * gap:+.1f} points, {100 * low:+.1f} to {100 * high:+.1f}), "
            f"alone {', '.join(f'{x:.3f}' for x in single)}\n"
        )
    ours_mean, pooled_mean, single_mean, gap_mean = np.mean(rows, axis=0)
    seeds = f"mean of seeds {', '.join(map(str, SEEDS))}"
    figure(
        f"federated against pooled training, {name}",
        f"{ours_mean:.3f}",
        f"{pooled_mean:.3f}",
        None,
        f"at most 1.5 points below, {seeds}",
        gap_mean >= -0.015,
    )
    figure(
        f"federated against the best single site, {name}",
        f"{ours_mean:.3f}",
        f"{single_mean:.3f}",
        None,
        f"above, {seeds}",
        ours_mean > single_mean,
    )


def wire(name: str, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """What the forms of exchange cost and change."""
    who = cast(*data, SEEDS[0], ALPHA)
    scores = {form: score(who, federate(who, exchange=form).logits(who)) for form in ("float16", "int8")}
    figure(
        f"8-bit changes against float16, {name}",
        f"{scores['int8']:.3f}",
        f"{scores['float16']:.3f}",
        None,
        "within 0.5 points",
        abs(scores["int8"] - scores["float16"]) <= 0.005,
    )


def compared(name: str, data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """The verdict that a run ends with, from the sites' own held-out images."""
    who = cast(*data, SEEDS[0], ALPHA)
    sys.stderr.write(f"{name}: {federate(who).verdict.document()}\n")


def attacks(name: str, data: tuple[np.ndarray, np.ndarray, np.ndarray], strategies: Sequence[Strategy]) -> None:
    """Strategies x IID and skewed x attacks; the default's largest losses are figures, the rest is printed."""
    worst: dict[str, float] = dict.fromkeys(ATTACKS[1:], 0.0)
    for seed in ATTACK_SEEDS:
        for alpha in (None, ALPHA):
            who = cast(*data, seed, alpha)
            for strategy in (None, *(strategies if seed == ATTACK_SEEDS[0] else ())):
                found = {a: score(who, federate(who, strategy, a).logits(who)) for a in ATTACKS}
                row = ", ".join(f"{a} {found[a]:.3f}" for a in ATTACKS)
                skew = "IID" if alpha is None else f"Dirichlet {alpha}"
                sys.stderr.write(f"{name} seed {seed}, {skew}, {strategy or 'default'}: {row}\n")
                if strategy is None:
                    worst = {a: max(worst[a], found["none"] - found[a]) for a in worst}
    for attack, loss in worst.items():
        figure(
            f"largest loss to one {attack} site of {SITES}, {name}",
            f"{100 * loss:.1f} points",
            "no attack",
            None,
            f"at most 3 points, IID and skewed, seeds {', '.join(map(str, ATTACK_SEEDS))}",
            loss <= 0.03,
        )


def main() -> int:
    folders = {name: data_folder(name) for name in SETS}
    if missing := [name for name, folder in folders.items() if folder is None]:
        sys.stderr.write(f"skipped: no research data ({', '.join(missing)}); set MEDMESH_DATA\n")
        return 0
    with ProcessPoolExecutor() as pool:
        lab = Lab(pool)
        sets = {}
        for name, folder in folders.items():
            assert folder is not None
            found = read_set(folder)
            measured = lab.measure(name, found.files)
            sets[name] = np.concatenate([measured.taps[t] for t in TAPS], axis=1), found.labels, found.groups
    with threadpool_limits(1):
        for name, data in sets.items():
            headline(name, data)
            wire(name, data)
            compared(name, data)
            attacks(name, data, STRATEGIES if "--table" in sys.argv else ())
    return 0


if __name__ == "__main__":
    sys.exit(main())

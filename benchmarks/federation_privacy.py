"""What a change of a head tells about the images behind it, and what noise at the sites costs. On real images and heads.

``inversion``: the coordinator looks for a picture's features in one site's change: how alike they are (cosine), for sites of
1 to 200 images, against pictures that the site does not have. ``membership``: can somebody tell the images that a head learned
from, by their loss, from other patients' images (area under the curve; 0.5: no)? From one site's change, and from the released
head. ``noise``: accuracy with clipped, noised changes, and the epsilon of the run.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import federation as bench
import numpy as np
from figures import data_folder, figure
from honesty import Lab, read_set
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from coordinator.training.linear import Projection
from edge_node.federation.images import held_out
from edge_node.federation.local import SiteData, Task, fit
from protocols.federation.accountant import epsilon
from protocols.federation.head import Head, Standard

SIZES = (1, 2, 10, 50, 200)
NOISES = ((0.0, 0.0), (0.3, 0.0), (0.3, 0.1), (0.3, 1.0), (0.3, 4.0))
MU = 10.0


def _start(who: bench.Cast) -> tuple[Head, Standard]:
    standard = Standard.of(who.features[who.start])
    first = Projection(who.features[who.start]).fit(who.labels[who.start], bench.STRENGTH)
    return standard.standardised(first.weights, first.bias), standard


def inversion(name: str, who: bench.Cast) -> None:
    """The best match among a site's own pictures, and among as many of others."""
    start, standard = _start(who)
    generator = np.random.default_rng(0)
    pool = np.flatnonzero(who.site >= 0)
    weights = np.ones(len(who.names))
    for size in SIZES:
        own_best, other_best = [], []
        for _ in range(20):
            chosen = generator.choice(pool, 2 * size, replace=False)
            own, others = chosen[:size], chosen[size:]
            data = SiteData(who.features[own], who.labels[own], np.ones(len(who.names), dtype=bool))
            change = fit(data, start, standard, Task(MU, weights, size)).weights - start.weights
            direction = change[:, 1] - change[:, 0]
            for rows, found in ((own, own_best), (others, other_best)):
                features = standard.apply(who.features[rows])
                alike = np.abs(features @ direction) / np.linalg.norm(features, axis=1) / np.linalg.norm(direction)
                found.append(float(alike.max()))
        sys.stderr.write(
            f"{name}: a change of {size} image(s): cosine with the likest own picture {np.mean(own_best):.3f}, "
            f"with the likest of {size} others {np.mean(other_best):.3f}\n"
        )
        if size == 1:
            figure(
                f"a change made of one image is its features, {name}",
                f"cosine {np.mean(own_best):.3f}",
                f"another image {np.mean(other_best):.3f}",
                None,
                "reported",
                True,
            )


def _loss(head: Head, standard: Standard, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = head.logits(standard.apply(features)).astype(float)
    logits -= logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def membership(name: str, who: bench.Cast) -> None:
    """By loss: after one site's round against before, and under the released head."""
    start, standard = _start(who)
    areas = []
    for number in range(bench.SITES):
        rows = np.flatnonzero(who.site == number)
        kept = held_out(who.groups[rows])
        if kept.sum() < 5 or (~kept).sum() < 5:
            continue
        member, other = rows[~kept], rows[kept]
        data = SiteData(who.features[member], who.labels[member], np.ones(len(who.names), dtype=bool))
        after = fit(data, start, standard, Task(MU, np.ones(len(who.names)), len(member)))
        gain = [
            _loss(start, standard, who.features[r], who.labels[r])
            - _loss(after, standard, who.features[r], who.labels[r])
            for r in (member, other)
        ]
        areas.append(roc_auc_score([1] * len(member) + [0] * len(other), np.concatenate(gain)))
    state = bench.federate(who).state
    trained, unseen = np.flatnonzero(who.site >= 0), np.flatnonzero(who.test)
    losses = [-_loss(state.head, standard, who.features[r], who.labels[r]) for r in (trained, unseen)]
    released = roc_auc_score([1] * len(trained) + [0] * len(unseen), np.concatenate(losses))
    sys.stderr.write(f"{name}: membership by a site's change, area by site {', '.join(f'{a:.3f}' for a in areas)}\n")
    figure(
        f"membership from one site's change, area under the curve, {name}",
        f"{np.mean(areas):.3f}",
        "chance 0.5",
        None,
        "reported",
        True,
    )
    figure(
        f"membership from the released head, area under the curve, {name}",
        f"{released:.3f}",
        "chance 0.5",
        None,
        "reported",
        True,
    )


def noise(name: str, who: bench.Cast) -> None:
    """What clipping and noise cost, on unseen patients."""
    for clip, deviation in NOISES:
        found = bench.federate(who, clip=clip, noise=deviation)
        releases = len(found.state.history) + 1
        eps = epsilon(deviation, releases)
        sys.stderr.write(
            f"{name}: clip {clip:g}, noise {deviation:g}: balanced accuracy {bench.score(who, found.logits(who)):.3f}, "
            f"start {bench.score(who, found.logits(who, found.state.anchor)):.3f}, "
            f"epsilon {'none' if eps is None else f'{eps:.1f}'} over {releases} changes\n"
        )


def main() -> int:
    folders = {name: data_folder(name) for name in bench.SETS}
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
            sets[name] = np.concatenate([measured.taps[t] for t in bench.TAPS], axis=1), found.labels, found.groups
    with threadpool_limits(1):
        for name, data in sets.items():
            who = bench.cast(*data, 0, bench.ALPHA)
            inversion(name, who)
            membership(name, who)
            noise(name, who)
    return 0


if __name__ == "__main__":
    sys.exit(main())

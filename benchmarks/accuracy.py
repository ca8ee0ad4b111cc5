"""How good the ladder's heads are, what they weigh and how long they take: by effort and budget, on unseen groups.

Every figure of balanced accuracy is the nested, grouped one that ``train`` states: neither fits nor choices, that of the rung
included, have seen the images that are counted. Data sets are imported and trained through the public commands in a home below
``build/``; what a run has printed is kept there and read again by the next one, unless the code of training has changed.

Under a change of site the published head files answer for altered pictures (``alterations``) of groups that a training on the
other groups had not seen. Skips with a sentence where the research data is absent. ``MEDMESH_EFFORTS=quick,standard`` runs less.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from alterations import SITE
from figures import HOME, data_folder, figure
from PIL import Image
from sklearn.metrics import roc_auc_score

from coordinator.training import folds
from protocols.imaging import open_image, to_rgb

ROOT = Path(__file__).resolve().parent.parent
COMMAND = Path(sys.executable).parent / "medmesh-coordinator"
DISEASES = {
    "malaria_cells": "malaria",
    "cxr_pneumonia": "pneumonia",
    "bccd_cells": "anaemia",
    "brain_mri": "brain-tumour",
}
# Least balanced accuracy by effort and budget in kB.
ASKED: dict[tuple[str, str, int], float] = {
    ("malaria_cells", "standard", 40): 0.92,
    ("malaria_cells", "standard", 150): 0.945,
    ("malaria_cells", "full", 150): 0.955,
    ("cxr_pneumonia", "full", 150): 0.975,
}
MOST_S = {"quick": 150, "standard": 720}
OTHERS = ("bccd_cells", "brain_mri")  # on which nothing was tried
WORSE = 0.01
SITE_AUC, SITE_SHARE = 0.97, 0.3


def main() -> int:
    found = {name: folder for name in DISEASES if (folder := data_folder(name)) is not None}
    if absent := [name for name in DISEASES if name not in found]:
        sys.stderr.write(f"Skipped: the research data {', '.join(absent)} is not here; set MEDMESH_DATA.\n")
        return 0
    efforts = os.environ.get("MEDMESH_EFFORTS", "quick,standard,full").split(",")
    for name in ("malaria_cells", "cxr_pneumonia"):
        for effort in efforts:
            for budget in (150, 40):
                row(name, effort, budget, trained(name, found[name], effort, budget))
        site_row(name, found[name], efforts[-1])
    for name in OTHERS:
        said = trained(name, found[name], "quick", 150)
        value = said["metrics"]["balanced_accuracy"]["value"]
        before = next(r["balanced_accuracy"] for r in said["rungs"] if r["name"] == "chosen taps")
        figure(f"{name} quick, against logistic heads on chosen taps", f"{value:.3f}", f"{before:.3f}", value / before,
               f"no more than {WORSE} less", value >= before - WORSE)  # fmt: skip
    return 0


def row(name: str, effort: str, budget_kb: int, document: dict[str, Any]) -> None:
    """Figure, bytes and seconds of one training."""
    value = document["metrics"]["balanced_accuracy"]
    head = next(a["size"] for a in document["artifacts"] if a["role"] == "head")
    asked = ASKED.get((name, effort, budget_kb), 0.0)
    last = next(r["balanced_accuracy"] for r in document["rungs"] if r["name"] == "last pool")
    ours = f"{value['value']:.3f} ({value['low']:.3f}–{value['high']:.3f}), {document['rung']}, {head / 1000:.1f} kB"
    figure(
        f"{name} {effort}, within {budget_kb} kB",
        ours,
        f"{last:.3f} last pool",
        value["value"] / last,
        f"≥ {asked}" if asked else "-",
        value["value"] >= asked and head <= budget_kb * 1000,
    )
    seconds, most = document["seconds"]["total"], MOST_S.get(effort)
    if document["features_computed"]:  # cold
        figure(f"{name} {effort}, seconds", f"{seconds:.0f}", "—", None, f"≤ {most}" if most else "-",
               most is None or seconds <= most)  # fmt: skip


def trained(name: str, folder: Path, effort: str, budget_kb: int, key: str = "") -> dict[str, Any]:
    """What ``train`` prints, in a home of its own; from an earlier run where the code is the same."""
    kept = HOME / "accuracy" / f"{name}{key}-{effort}-{budget_kb}-{_code()}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text("utf-8")))
    kept.parent.mkdir(parents=True, exist_ok=True)
    home = HOME / "accuracy" / f"{name}{key}-{effort}"  # both budgets share features
    if not (home / "coordinator").is_dir():
        _run(home, "init", "--approvals", "1")
        for part in ("backbones", "artifacts"):
            if effort != "quick" and (HOME / "coordinator" / part).is_dir():  # quick is timed cold, conversion and all
                shutil.copytree(HOME / "coordinator" / part, home / "coordinator" / part, dirs_exist_ok=True)
        _run(home, "dataset", "import", str(folder), "--disease", DISEASES[name])
    said = _run(home, "train", DISEASES[name], "--effort", effort, "--budget-kb", str(budget_kb))
    kept.write_text(json.dumps(said), "utf-8")
    return said


def _run(home: Path, *arguments: str) -> dict[str, Any]:
    home.mkdir(parents=True, exist_ok=True)
    sys.stderr.write(f"{' '.join(arguments[:2])} in {home.name}\n")
    done = subprocess.run(
        [str(COMMAND), *arguments, "--home", str(home), "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout))


def _code() -> str:
    """Digest of what decides a training's result."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "coordinator" / "training").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def site_row(name: str, folder: Path, effort: str) -> None:
    """Ranking of unseen groups' pictures as other sites would have taken them, by the released files."""
    with (folder / "groups.csv").open(encoding="utf-8") as file:
        rows = sorted((r["file"], r["group"]) for r in csv.DictReader(file))
    groups = np.array([g for _, g in rows])
    test = folds.assign(groups, 10, 7) < round(10 * SITE_SHARE)
    with tempfile.TemporaryDirectory() as temporary:
        seen = Path(temporary) / "seen"
        _copy(folder, seen, [r for r, t in zip(rows, test, strict=True) if not t])
        trained(name, seen, effort, 150, "-site")
        home = HOME / "accuracy" / f"{name}-site-{effort}"
        areas = {}
        for change, alter in SITE.items():
            kept = HOME / "accuracy" / f"{name}-site-{effort}-{change.replace(' ', '_')}-{_code()}.json"
            if not kept.exists():
                place = Path(temporary) / change
                _copy(folder, place, [r for r, t in zip(rows, test, strict=True) if t][::2], alter)
                said = Path(temporary) / "said.csv"
                _run(home, "evaluate", DISEASES[name], "--on", str(place), "--save-predictions", str(said))
                kept.write_text(json.dumps(_area(said)), "utf-8")
                shutil.rmtree(place)
            areas[change] = float(json.loads(kept.read_text("utf-8")))
    mean, worst = float(np.mean(list(areas.values()))), min(areas, key=lambda c: areas[c])
    asked = SITE_AUC if name == "cxr_pneumonia" else None
    text = f"{mean:.3f} mean, {areas[worst]:.3f} worst ({worst})"
    figure(f"{name} {effort}, AUC at {len(SITE)} other sites", text, "—", None, f"mean ≥ {asked}" if asked else "-",
           asked is None or mean >= asked)  # fmt: skip


def _area(predictions: Path) -> float:
    """Area under the ROC curve of the second of two labels."""
    with predictions.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    label = sorted({r["label"] for r in rows})[1]
    return float(roc_auc_score([r["label"] == label for r in rows], [float(r[label]) for r in rows]))


def _copy(
    folder: Path,
    target: Path,
    rows: list[tuple[str, str]],
    alter: Callable[[Image.Image], Image.Image] | None = None,
) -> None:
    """Some pictures of a set with their groups, as they are or altered."""
    target.mkdir(parents=True)
    with (target / "groups.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "group"])
        for name, group in rows:
            place = (target / name).with_suffix(".png") if alter else target / name
            place.parent.mkdir(exist_ok=True)
            if alter:
                with open_image(folder / name) as image:
                    alter(to_rgb(image).copy()).save(place)
            else:
                shutil.copyfile(folder / name, place)
            writer.writerow([place.relative_to(target).as_posix(), group])


if __name__ == "__main__":
    sys.exit(main())

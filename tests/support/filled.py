"""A coordinator's store with many of everything, made up; every free text is what ``text`` says."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from coordinator.errors import CoordinatorError
from coordinator.jobs.queue import failure
from coordinator.releases.gates import Gate
from coordinator.store.blobs import FolderBlobs
from coordinator.store.tables import (
    dataset_owners,
    datasets,
    federations,
    heartbeats,
    jobs,
    labels,
    models,
    nodes,
    quarantine,
    releases,
    results,
    samples,
)
from coordinator.upstream.record import Record
from coordinator.upstream.store import UpstreamStore
from protocols.heartbeat import Outcomes
from protocols.manifest import Label, ReleaseManifest
from protocols.network import NetworkFile
from protocols.trust import Rollout
from tests.support.heartbeats import HEART, health
from tests.support.manifests import example
from tests.support.uploads import Office

FACTS = {
    "perceptual": "0" * 64,
    "width": 9,
    "height": 9,
    "format": "DICOM",
    "border": [0, 0, 0],
    "original": "",
    "turn": 1,
}
STATES = ("proposed", "released", "paused", "approved", "rolled back", "withdrawn")


async def fill(
    office: Office, sites: int = 12, releases_: int = 8, text: Callable[[str], str] = lambda plain: plain
) -> None:
    """Fill the store: sites, a data set, jobs, models, releases, a federated run, results.

    Args:
        office: whose store.
        sites: how many nodes.
        releases_: how many model versions, each proposed.
        text: what people wrote in the place of a plain text.
    """
    chance, now = random.Random(7), office.clock()
    home, database = office.coordinator.home, office.coordinator.database
    artifacts = FolderBlobs(home.artifacts)
    golden = artifacts.put(b"golden")

    def ago(**time: float) -> str:
        return (now - timedelta(**time)).isoformat(timespec="seconds")

    manifests = [_manifest(n + 1, golden, text) for n in range(releases_)]
    digests = [artifacts.put(m.to_bytes()) for m in manifests]
    async with database.begin() as connection:
        for number in range(sites):
            seen = None if number % 9 == 8 else ago(days=30) if number % 7 == 6 else ago(minutes=chance.randint(1, 600))
            await connection.execute(
                nodes.insert().values(
                    id=f"{number:016x}",
                    name=text(f"clinic-{number:04d}"),
                    site=text(f"Hospital {number // 3}"),
                    groups=[text("pilot")] if number % 5 == 0 else [],
                    revoked=number % 23 == 22,
                    certificate_sha256=f"{number:064x}",
                    public_key="",
                    enrolled=ago(days=60, minutes=number),
                    last_seen=seen,
                )
            )
            if seen is not None:
                beat = replace(HEART, releases=(health("malaria@2", outcomes=Outcomes(80, 9, 2, 1)),))
                await connection.execute(
                    heartbeats.insert().values(
                        node=f"{number:016x}", serial=12, received=seen, seen=seen, via="line", document=beat.document()
                    )
                )
        dataset = (
            await connection.execute(
                datasets.insert().values(
                    name="malaria", disease="malaria", created=ago(days=5), reports=[_report(now.isoformat(), text)]
                )
            )
        ).inserted_primary_key[0]
        await connection.execute(
            dataset_owners.insert().values(name="malaria", owner=text("north"), job="0", dataset=dataset)
        )
        for number in range(60):
            label = text("parasitized") if number % 2 else "uninfected"
            await connection.execute(
                samples.insert().values(
                    dataset=dataset,
                    sha256=f"{number:064x}",
                    label=label,
                    group=text(f"patient {number // 4}"),
                    file=text(f"a/{number}.png"),
                )
            )
        for number, doubt in enumerate(("burned_in", "face", "ultrasound")):
            await connection.execute(
                quarantine.insert().values(
                    dataset=dataset,
                    sha256=f"{number + 1000:064x}"[::-1],
                    label=text("parasitized"),
                    group=text(f"patient {number}"),
                    file=text(f"screen/{number}.dcm"),
                    doubt=doubt,
                    created=ago(days=1),
                    facts=dict(FACTS),
                )
            )
        for label, entry, kind, how in (
            (text("parasitized"), None, "other", "no entry found"),
            ("uninfected", "normal-blood-cell", "normal", "confirmed"),
        ):
            await connection.execute(
                labels.insert().values(dataset=dataset, label=label, entry=entry, kind=kind, how=how)
            )
        for number, (kind, state) in enumerate(
            (
                ("import", "done"),
                ("train", "running"),
                ("train", "queued"),
                ("train", "failed"),
                ("propose", "cancelled"),
            )
        ):
            await connection.execute(
                jobs.insert().values(
                    id=f"{number:010x}",
                    kind=kind,
                    subject="malaria",
                    owner=text("north"),
                    scopes=[],
                    options={"effort": "quick"},
                    state=state,
                    part="selection" if state == "running" else "",
                    done=3 if state == "running" else 0,
                    total=10 if state == "running" else 0,
                    curves=_curves() if state == "failed" else None,
                    result={"accepted": 60, "rejected": []} if state == "done" else None,
                    error=failure(CoordinatorError("job.crashed", attempts=3)) if state == "failed" else None,
                    created=ago(hours=2),
                    started=ago(hours=1),
                    ended=ago(minutes=30) if state in ("done", "failed", "cancelled") else None,
                )
            )
        for number, (manifest, sha256) in enumerate(zip(manifests, digests, strict=True)):
            state = STATES[number % len(STATES)]
            await connection.execute(
                models.insert().values(
                    name=manifest.model,
                    version=manifest.version,
                    disease=manifest.disease,
                    dataset="malaria",
                    manifest=sha256,
                    created=manifest.created,
                    training={"dataset": "malaria", "effort": "quick", "metrics": manifest.metrics},
                )
            )
            if number == releases_ - 1 and releases_ > 2:
                continue  # one that may still be proposed
            await connection.execute(
                releases.insert().values(
                    name=manifest.name,
                    disease=manifest.disease,
                    manifest=sha256,
                    state=state,
                    percent=20 if state in ("released", "paused") else 0,
                    groups=[text("pilot")] if state == "released" else [],
                    reason=text("worse on new images") if state == "withdrawn" else "",
                    notes=text("More images of children."),
                    gates=[
                        Gate(
                            "labels_mapped", True, text("every label has an entry"), text("每个标签都有条目")
                        ).document()
                    ],
                    created=ago(days=releases_ - number),
                )
            )
        history = [
            {
                "round": n + 1,
                "state": "done",
                "sites": {
                    f"{s:016x}": {"metric": 0.8 + 0.01 * n + 0.01 * s, "bytes": 9000 * (n + 1)} for s in range(3)
                },
            }
            for n in range(8)
        ]
        await connection.execute(
            federations.insert().values(
                id="ab12",
                number=1,
                model="malaria@1",
                state="running",
                options={"rounds": 20},
                document={
                    "round": 8,
                    "rounds": 20,
                    "sites": [
                        {
                            "site": f"{s:016x}",
                            "metric": 0.87,
                            "rounds": 8,
                            "bytes_up": 36000,
                            "bytes_down": 36000,
                            "dropped": [],
                        }
                        for s in range(3)
                    ],
                    "declined": [{"site": text("elsewhere"), "code": "federation.no_images"}],
                    "history": history,
                },
                created=ago(hours=3),
            )
        )
        await connection.execute(
            results.insert(),
            [
                {
                    "node": f"{0:016x}",
                    "id": f"{n:032x}",
                    "received": ago(hours=1),
                    "disease": "malaria",
                    "release": "malaria@2",
                    "outcome": "unsure" if n % 5 == 0 else "recognised",
                    "label": text("parasitized"),
                    "report": json.loads("{}"),
                }
                for n in range(20)
            ],
        )
    believed = Record(
        Rollout(7, "South", None, ()).to_bytes(), frozenset({"k"}), now, now, {"smears@3": text("misses ring forms")}
    )
    file = NetworkFile("South", (), b"{}", None, 0)
    await UpstreamStore(database).add("south", "https://south.example", file, believed, now)


def _curves() -> list[dict[str, Any]]:
    return [
        {
            "run": f"ab12cd34/{run}",
            "name": name,
            "loss": [round(0.9 * 0.86**n + 0.05 * run, 4) for n in range(16)],
            "validation": [round(0.95 * 0.9**n + 0.08 * run + 0.004 * n, 4) for n in range(16)]
            if run < 2
            else [None] * 16,
        }
        for run, name in enumerate(("mixed4", "mixed4+mixed7", "mixed4+mixed7"))
    ]


def _manifest(version: int, golden: str, text: Callable[[str], str]) -> ReleaseManifest:
    base = example(version=version)
    figures: dict[str, Any] = {
        "balanced_accuracy": {"value": 0.9 + version / 10_000, "low": 0.88, "high": 0.93},
        "auc_macro": 0.96,
        "ece": 0.02,
    }
    return replace(
        base,
        labels=(Label(text("parasitized"), "malaria", "disease"), base.labels[1]),
        metrics=figures,
        data={"dataset": "malaria", "images": 60, "groups": 15},
        golden=replace(base.golden, sha256=golden),
        artifacts=tuple(replace(a, sha256=golden) if a.role == "golden" else a for a in base.artifacts),
    )


def _report(imported: str, text: Callable[[str], str]) -> dict[str, Any]:
    return {
        "imported": imported,
        "accepted": 60,
        "already_present": 0,
        "classes": {text("parasitized"): 30, "uninfected": 30},
        "groups_by_class": {text("parasitized"): 8, "uninfected": 8},
        "rejected": [{"file": text("a/odd.png"), "code": "image.damaged", "reason": "damaged", "reason_zh": "损坏"}],
        "warnings": [{"code": "intake.few_images", "text": text("few images"), "text_zh": text("图像少")}],
        "notes": {},
        "label_conflicts": [],
        "exact_duplicates": [[text("a/1.png"), text("a/2.png")]],
        "near_duplicates": [],
    }

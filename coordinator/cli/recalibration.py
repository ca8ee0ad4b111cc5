"""``recalibrate``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets
from protocols.console import Console, command


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "recalibrate")(recalibrate)


async def recalibrate(
    console: Console,
    model: Annotated[str, typer.Argument(help="model or model@version · 模型")],
    on: Annotated[Path, typer.Option(help="Labelled images of the site: zip or folder · 该机构的已标注图像")],
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group")] = None,
) -> None:
    """Make a version for another site: scores, thresholds and limits fitted to its images · 按机构重新校准."""
    from coordinator.store.blobs import FolderBlobs
    from coordinator.training import evaluation
    from coordinator.training import recalibration as fitting
    from protocols.manifest import Golden
    from protocols.pipeline import Pipelines
    from protocols.selftest import golden_scores

    async with open_coordinator(console.home) as coordinator:
        row = await coordinator.models.row(model)
        manifest = coordinator.models.read_manifest(row.manifest)
        with console.progress("Recognising", "识别", None) as advance:
            site = await asyncio.to_thread(
                evaluation.evaluate, manifest, coordinator.home.artifacts, on, groups, coordinator.engine, advance
            )
        trained_on = await Datasets(coordinator.database, coordinator.home, coordinator.engine).digests(manifest.model)
        if seen := sum(p.sha256 in trained_on for p in site.predictions):
            raise CoordinatorError("recalibrate.seen_in_training", count=seen, total=len(site.predictions))
        found = await asyncio.to_thread(fitting.recalibrate, manifest, site)
        new = replace(
            found.manifest,
            version=await coordinator.models.next_version(manifest.model),
            created=utc_now().isoformat(timespec="seconds"),
        )
        artifacts = FolderBlobs(coordinator.home.artifacts)
        strip = artifacts.path(new.golden.sha256).read_bytes()
        rows = await asyncio.to_thread(golden_scores, new, strip, Pipelines(artifacts.path))
        golden = Golden(new.golden.sha256, tuple(tuple(round(float(x), 6) for x in r) for r in rows))
        recalibrated = {"from": manifest.name, **found.document}
        document: dict[str, Any] = {**row.training, "version": new.version, "recalibrated": recalibrated}
        await coordinator.models.add(replace(new, golden=golden), document, "model.recalibrate")
    answer = {
        "model": new.model,
        "version": new.version,
        **recalibrated,
        "temperature": new.calibration.temperature,
        "bias": dict(zip((x.label for x in new.labels), new.calibration.bias, strict=True)),
        "thresholds": dict(zip((x.label for x in new.labels), new.calibration.thresholds, strict=True)),
        "groups_given": site.grouped,
    }

    def human() -> None:
        console.line(
            f"{new.name}: {manifest.name} calibrated on {answer['images']} images of {answer['groups']} groups. "
            "Nodes that have the model fetch its manifest only.",
            f"{new.name}：以 {answer['images']} 张图像（{answer['groups']} 个分组）校准 {manifest.name}。"
            "已有该模型的节点只需下载清单。",
        )
        console.table(
            ["", console.t("before", "校准前"), console.t("after, out of fold", "校准后（折外）")],
            [
                [console.t(en, zh), f"{found.document['before'][key]:.3f}", f"{found.document['after'][key]:.3f}"]
                for key, en, zh in (
                    ("balanced_accuracy", "balanced accuracy", "平衡准确率"),
                    ("ece", "calibration error", "校准误差"),
                    ("coverage", "coverage", "覆盖率"),
                )
            ],
        )
        if not site.grouped:
            console.line(
                "! No groups were given: images of one patient may stand on both sides of the check.",
                "! 未提供分组：同一患者的图像可能同时用于校准和检验。",
            )

    console.answer(answer, human)

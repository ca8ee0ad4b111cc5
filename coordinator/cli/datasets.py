"""``dataset …``: training images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli import uploads
from coordinator.cli.reporting import print_report
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets, ImportOptions
from disease_kb.seeding import open_or_build
from disease_kb.store import KnowledgeBase
from protocols.console import Console, command
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import slugify


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Training images · 训练图像")
    app.add_typer(group, name="dataset")
    command(group, "import")(import_)
    command(group, "upload")(uploads.dataset)
    command(group, "list")(list_)
    for function in (show, report, label, remove):
        command(group)(function)


@asynccontextmanager
async def _services(console: Console) -> AsyncIterator[tuple[Datasets, KnowledgeBase]]:
    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        yield Datasets(coordinator.database, coordinator.home, coordinator.engine), knowledge


async def import_(
    console: Console,
    path: Annotated[Path, typer.Argument(help="Zip or folder with one folder for each class")],
    disease: Annotated[str, typer.Option(help="Disease slug, for example malaria")],
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group (patients)")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; an existing one is added to")] = None,
    merge_classes: Annotated[bool, typer.Option("--merge-classes", help="Treat Nevus and nevus as one class")] = False,
    first_frame: Annotated[bool, typer.Option("--first-frame", help="Take the first frame of animations")] = False,
    min_edge: Annotated[
        int, typer.Option(min=MIN_EDGE_PX, help="Refuse images below this many pixels a side")
    ] = MIN_EDGE_PX,
) -> None:
    """Check, clean and import training images; prints the cleaning report."""
    options = ImportOptions(
        disease=disease,
        name=name or slugify(disease) or disease,
        groups_csv=groups,
        merge_classes=merge_classes,
        first_frame=first_frame,
        min_edge_px=min_edge,
    )
    async with _services(console) as (datasets, knowledge):
        with console.progress("Checking images", "检查图像", None) as advance:
            document = await datasets.add(path, options, knowledge, utc_now(), lambda done, total: advance(done, total))
    console.answer(document, lambda: print_report(console, document))


async def list_(console: Console) -> None:
    """All data sets."""
    async with _services(console) as (datasets, _):
        rows = await datasets.all()
    console.answer(
        {"datasets": rows},
        lambda: console.table(
            [
                console.t("data set", "数据集"),
                console.t("disease", "疾病"),
                console.t("images", "图像"),
                console.t("groups", "分组"),
            ],
            [[r["dataset"], r["disease"], r["images"], r["groups"]] for r in rows],
        ),
    )


async def show(console: Console, dataset: Annotated[str, typer.Argument(help="Name of the data set")]) -> None:
    """One data set with its classes and the entries they stand for."""
    async with _services(console) as (datasets, _):
        document = await datasets.show(dataset)

    def human() -> None:
        console.line(
            f"{document['dataset']} ({document['disease']}): {document['images']} images, {document['groups']} groups",
            f"{document['dataset']}（{document['disease']}）：{document['images']} 张图像，{document['groups']} 个分组",
        )
        console.table(
            [
                console.t("class", "类别"),
                console.t("images", "图像"),
                console.t("entry", "知识库条目"),
                console.t("how", "来源"),
            ],
            [
                [
                    label,
                    count,
                    document["labels"][label]["entry"] or document["labels"][label]["kind"],
                    document["labels"][label]["how"],
                ]
                for label, count in document["classes"].items()
            ],
        )

    console.answer(document, human)


async def report(console: Console, dataset: Annotated[str, typer.Argument(help="Name of the data set")]) -> None:
    """The cleaning reports of all imports into a data set."""
    async with _services(console) as (datasets, _):
        document = await datasets.report(dataset)

    def human() -> None:
        for row in document["imports"]:
            console.line(f"— {row['imported']}", f"— {row['imported']}")
            print_report(console, {"labels": {}, "already_present": row.get("already_present", 0), **row})

    console.answer(document, human)


async def label(
    console: Console,
    dataset: Annotated[str, typer.Argument(help="Name of the data set")],
    label: Annotated[str, typer.Argument(help="Class name")],
    entry: Annotated[str, typer.Option(help="Knowledge base id, normal or other")],
) -> None:
    """Say which knowledge base entry a class stands for."""
    async with _services(console) as (datasets, knowledge):
        document = await datasets.label(dataset, label, entry, knowledge)
    console.answer(document, lambda: console.line(f"{label} now stands for {entry}.", f"{label} 现对应 {entry}。"))


async def remove(
    console: Console,
    dataset: Annotated[str, typer.Argument(help="Name of the data set")],
    group: Annotated[str | None, typer.Option(help="Only this group (patient)")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
) -> None:
    """Remove a data set or one group: images and all computed from them go, models trained on them are listed."""
    if not yes and not console.json:
        typer.confirm(
            console.t(f"Remove {group or 'all of'} {dataset} for good?", f"确定永久删除 {dataset} {group or ''}？"),
            abort=True,
        )
    if not yes and console.json:
        raise CoordinatorError("usage", problem="dataset remove --json needs --yes")
    async with _services(console) as (datasets, _):
        document = await datasets.remove(dataset, group)

    def human() -> None:
        console.line(f"{document['removed']} images removed.", f"已删除 {document['removed']} 张图像。")
        if document["models_trained_on_it"]:
            listed = ", ".join(document["models_trained_on_it"])
            console.line(f"Models trained on them: {listed}", f"用其训练过的模型：{listed}")

    console.answer(document, human)

"""``dataset …``: training images."""

from __future__ import annotations

import base64
import shlex
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli import uploads
from coordinator.cli.remote import TokenText
from coordinator.cli.targets import check_targets
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets, ImportOptions
from coordinator.intake.quarantine import Quarantine
from coordinator.store.blobs import write_atomically
from coordinator.uploads.declaration import EFFORTS, MOST_GROUPS_BYTES
from protocols.console import Console, command
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import slugify

if TYPE_CHECKING:
    from disease_kb.store import KnowledgeBase


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Training images · 训练图像")
    app.add_typer(group, name="dataset")
    command(group, "import")(import_)
    command(group)(upload)
    command(group, "list")(list_)
    for function in (show, report, label, remove):
        command(group)(function)
    waiting = typer.Typer(no_args_is_help=True, help="Images that a person has to look at first · 待人工审核的图像")
    group.add_typer(waiting, name="quarantine")
    command(waiting, "list")(quarantine_list)
    command(waiting, "show")(quarantine_show)
    command(waiting, "accept")(quarantine_accept)
    command(waiting, "reject")(quarantine_reject)


@asynccontextmanager
async def _services(console: Console) -> AsyncIterator[tuple[Datasets, KnowledgeBase]]:
    from disease_kb.seeding import open_or_build

    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        yield (
            Datasets(coordinator.database, coordinator.home, coordinator.engine, coordinator.config.intake),
            knowledge,
        )


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
    keep_originals: Annotated[
        bool, typer.Option("--keep-originals", help="Keep the files too, de-identified; else only re-encoded copies")
    ] = False,
) -> None:
    """Check, clean and import training images; prints the cleaning report."""
    options = ImportOptions(
        disease=disease,
        name=name or slugify(disease) or disease,
        groups_csv=groups,
        merge_classes=merge_classes,
        first_frame=first_frame,
        min_edge_px=min_edge,
        keep_originals=keep_originals,
    )
    async with _services(console) as (datasets, knowledge):
        with console.progress("Checking images", "检查图像", None) as advance:
            document = await datasets.add(path, options, knowledge, utc_now(), lambda done, total: advance(done, total))
    console.answer(document, lambda: _print_report(console, document))


def _print_report(console: Console, document: dict[str, Any]) -> None:
    console.line(
        f"Data set {document['dataset']}: {document['accepted']} images accepted, "
        f"{len(document['rejected'])} rejected, {document['groups']} groups, "
        f"{document['already_present']} there before.",
        f"数据集 {document['dataset']}：接受 {document['accepted']} 张，拒绝 {len(document['rejected'])} 张，"
        f"分组 {document['groups']} 个，已有 {document['already_present']} 张。",
    )
    rows = []
    for label, count in document["classes"].items():
        mapped = document["labels"].get(label, {})
        rows.append([label, count, mapped.get("entry") or "—", mapped.get("how", "")])
    console.table([console.t("class", "类别"), console.t("images", "图像"), console.t("entry", "知识库条目"), ""], rows)
    for rejected in document["rejected"][:20]:
        reason = rejected["reason_zh"] if console.language == "zh" else rejected["reason"]
        console.line(f"  {rejected['file']}: {reason}", f"  {rejected['file']}：{reason}")
    if len(document["rejected"]) > 20:
        more = len(document["rejected"]) - 20
        console.line(f"  … and {more} more (dataset report)", f"  ……另有 {more} 个（dataset report）")
    for waiting in document.get("quarantined", [])[:20]:
        console.line(
            f"  {waiting['file']}: waits for a person's look ({waiting['doubt']}): dataset quarantine show {waiting['id']}",
            f"  {waiting['file']}：等待人工审核（{waiting['doubt']}）：dataset quarantine show {waiting['id']}",
        )
    for warning in document["warnings"]:
        console.line(f"! {warning['text']}", f"! {warning.get('text_zh', warning['text'])}")
    for label, mapped in document["labels"].items():
        if mapped["entry"] is None and mapped["kind"] != "normal":
            hint = (
                f"medmesh-coordinator dataset label {document['dataset']} {shlex.quote(label)} --entry ID|normal|other"
            )
            console.line(
                f"Class {label} has no page in the knowledge base yet: {hint}", f"类别 {label} 尚无知识库条目：{hint}"
            )


async def upload(
    console: Console,
    path: Annotated[Path, typer.Argument(help="Zip or folder with one folder for each class")],
    to: uploads.Url,
    disease: Annotated[str, typer.Option(help="Disease slug, for example malaria")],
    token: TokenText = None,
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group (patients)")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; one of yours is added to")] = None,
    merge_classes: Annotated[bool, typer.Option("--merge-classes", help="Treat Nevus and nevus as one class")] = False,
    first_frame: Annotated[bool, typer.Option("--first-frame", help="Take the first frame of animations")] = False,
    min_edge: Annotated[
        int, typer.Option(min=MIN_EDGE_PX, max=10_000, help="Refuse images below this many pixels a side")
    ] = MIN_EDGE_PX,
    keep_originals: Annotated[
        bool, typer.Option("--keep-originals", help="Let the files be kept too, de-identified")
    ] = False,
    train: Annotated[bool, typer.Option("--train", help="Then queue a training (scope train)")] = False,
    effort: Annotated[str, typer.Option(help="Of the training: quick, standard or full")] = "standard",
    no_wait: uploads.NoWait = False,
) -> None:
    """Send training images; the coordinator checks, cleans and imports them. Prints the cleaning report.

    An upload that was interrupted goes on where it was when the same command is run again.
    """
    if effort not in EFFORTS:
        raise click.BadParameter("--effort takes quick, standard or full")
    options: dict[str, Any] = {
        "disease": disease,
        "name": name or slugify(disease) or disease,
        "merge_classes": merge_classes,
        "first_frame": first_frame,
        "keep_originals": keep_originals,
        "min_edge_px": min_edge,
    }
    if groups is not None:
        options["groups_csv"] = base64.b64encode(uploads.small_file(groups, MOST_GROUPS_BYTES)).decode()
    if train:
        options["train"] = effort
    if path.is_file() and not zipfile.is_zipfile(path):  # before an hour's sending
        raise CoordinatorError("intake.not_a_dataset", path=path)
    document = uploads.upload(console, path, to, token, {"kind": "dataset", "dataset": options}, no_wait)

    def human() -> None:
        _print_report(console, document)
        if "train_job" in document:
            queued = document["train_job"]
            console.line(f"Training queued: job {queued}.", f"训练已排队：任务 {queued}。")

    console.answer(document, (lambda: uploads.queued(console, document)) if no_wait else human)


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


async def report(
    console: Console,
    dataset: Annotated[str, typer.Argument(help="Name of the data set")],
    html: Annotated[Path | None, typer.Option(help="Write one HTML file with thumbnails; it names your files")] = None,
) -> None:
    """The cleaning reports of all imports into a data set, and what may mislead a model in it."""
    from coordinator.reports import page
    from coordinator.reports.cleaning import report as render
    from coordinator.reports.cleaning import thumbnail

    check_targets(html)
    async with _services(console) as (datasets, _):
        document = await datasets.report(dataset)
        labels = (await datasets.show(dataset))["labels"]
        of_file = {s.file: datasets.image_path(s.sha256) for s in await datasets.samples(dataset)}
    if html is not None:
        content = render(document, lambda file: thumbnail(of_file[file]) if file in of_file else None)
        write_atomically(html, page.render(content, console.language).encode("utf-8"))
        document["html"] = str(html)

    def human() -> None:
        for row in document["imports"]:
            at = f"{row['imported'][:16].replace('T', ' ')} UTC"
            console.line(f"Imported {at}:", f"导入于 {at}：")
            mapped = {label: labels[label] for label in row["classes"] if label in labels}
            _print_report(console, {"already_present": row.get("already_present", 0), **row, "labels": mapped})
        for image in document["disputed"]["images"]:
            console.line(
                f"? {image['file']}: labelled {image['label']}, model says {image['model_says']} ({image['score']:.2f})",
                f"? {image['file']}：标签 {image['label']}，模型判为 {image['model_says']}（{image['score']:.2f}）",
            )
        if html is not None:
            console.line(f"Written: {html}", f"已写入：{html}")

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


async def quarantine_list(
    console: Console,
    dataset: Annotated[str | None, typer.Argument(help="Name of the data set; all if not given")] = None,
) -> None:
    """Images that may show burnt-in text or a face, and wait for a person's look."""
    async with open_coordinator(console.home) as coordinator:
        rows = await Quarantine(coordinator.database, coordinator.home).list(dataset)
    headings = [
        "id",
        console.t("data set", "数据集"),
        console.t("class", "类别"),
        console.t("file", "文件"),
        console.t("why", "原因"),
    ]
    console.answer(
        {"quarantined": rows},
        lambda: console.table(headings, [[r[k] for k in ("id", "dataset", "label", "file", "doubt")] for r in rows]),
    )


async def quarantine_show(
    console: Console,
    image: Annotated[str, typer.Argument(help="Id from quarantine list")],
    out: Annotated[Path, typer.Option(help="Write the picture here (PNG), to look at it")],
) -> None:
    """Write an image that waits to a file, to look at it."""
    check_targets(out)
    async with open_coordinator(console.home) as coordinator:
        row, picture = await Quarantine(coordinator.database, coordinator.home).picture(image)
    write_atomically(out, picture, 0o600)
    document = {**row, "out": str(out), "bytes": len(picture)}
    console.answer(
        document,
        lambda: console.line(f"{row['file']} ({row['doubt']}): {out}", f"{row['file']}（{row['doubt']}）：{out}"),
    )


async def quarantine_accept(
    console: Console, images: Annotated[list[str], typer.Argument(help="Ids from quarantine list")]
) -> None:
    """Say that nobody can be known from the images: they become part of their data set."""
    from disease_kb.seeding import open_or_build

    async with open_coordinator(console.home) as coordinator, await open_or_build(console.home) as knowledge:
        waiting = Quarantine(coordinator.database, coordinator.home)
        accepted = [await waiting.accept(image, knowledge) for image in images]
    console.answer(
        {"accepted": accepted},
        lambda: console.line(f"{len(accepted)} image(s) accepted.", f"已接受 {len(accepted)} 张图像。"),
    )


async def quarantine_reject(
    console: Console, images: Annotated[list[str], typer.Argument(help="Ids from quarantine list")]
) -> None:
    """Remove images that wait, for good."""
    async with open_coordinator(console.home) as coordinator:
        waiting = Quarantine(coordinator.database, coordinator.home)
        rejected = [await waiting.reject(image) for image in images]
    console.answer(
        {"rejected": rejected},
        lambda: console.line(f"{len(rejected)} image(s) removed.", f"已删除 {len(rejected)} 张图像。"),
    )

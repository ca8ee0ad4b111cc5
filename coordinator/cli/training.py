"""``train``, ``evaluate``, ``model …`` and ``backbone …``."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any, get_args

import click
import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli import uploads
from coordinator.cli.model_import import model_import
from coordinator.cli.targets import check_targets
from coordinator.cli.trained import TimeTold, show
from coordinator.intake.datasets import Datasets
from coordinator.store.blobs import write_atomically
from coordinator.training import nsfwjs
from coordinator.training.trunks import Trunks
from protocols.console import Console, command

_PARTS = {
    "backbone": ("Preparing the backbone", "准备主干网络"),
    "features": ("Computing features", "计算特征"),
    "views": ("Computing features of altered views", "计算变化视图的特征"),
    "selection": ("Choosing taps by nested cross-validation", "嵌套交叉验证选择特征层"),
    "spatial": ("Training spatial heads for unseen groups, in hundredths", "为未见分组训练空间头部模型（百分比）"),
    "teacher": ("Fine-tuning the network for the first fold, in epochs", "为第一折微调主干网络（轮）"),
    "distilled": ("Fine-tuning for the other folds, and teaching a spatial head", "为其余折微调，并蒸馏到空间头部模型"),
    "head": ("Making the head", "生成头部模型"),
    "time": ("Seconds of the whole", "总耗时（秒）"),
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "train")(train)
    command(app, "evaluate")(evaluate)
    model = typer.Typer(no_args_is_help=True, help="Model versions · 模型版本")
    app.add_typer(model, name="model")
    command(model, "import")(model_import)
    command(model, "list")(model_list)
    command(model, "upload")(uploads.model)
    command(model, "show")(model_show)
    command(model, "card")(model_card)
    command(model, "export")(model_export)
    backbone = typer.Typer(no_args_is_help=True, help="Frozen networks · 主干网络")
    app.add_typer(backbone, name="backbone")
    command(backbone, "list")(backbone_list)
    command(backbone, "fetch")(backbone_fetch)


async def train(
    console: Console,
    dataset: Annotated[str, typer.Argument(help="Name of the data set")],
    backbone: Annotated[
        list[str] | None,
        typer.Option(help="imagenet, nsfwjs-4.4.0 (if not given), file:PATH, random-SEED; several are compared"),
    ] = None,
    effort: Annotated[str, typer.Option(help="quick, standard or full")] = "standard",
    budget_kb: Annotated[int | None, typer.Option(min=1, help="Largest head in kB; 150 if not given")] = None,
    modality: Annotated[str | None, typer.Option(help="Kind of imaging: what altered views may do; guessed")] = None,
) -> None:
    """Train a model version from a data set. Stopped, the same command goes on where it was."""
    from coordinator.training.ladder.ascent import Effort
    from coordinator.training.modality import MODALITIES, Modality
    from coordinator.training.run import train_dataset

    if effort not in get_args(Effort):
        raise click.BadParameter("--effort takes quick, standard or full")
    if modality is not None and modality not in MODALITIES:
        raise click.BadParameter(f"--modality takes {', '.join(MODALITIES)}")
    backbones = list(dict.fromkeys(backbone or [nsfwjs.BACKBONE_ID]))
    if any(b.startswith("random-") for b in backbones):
        console.say(
            "A random backbone is for wiring tests only: its answers mean nothing.",
            "随机主干网络仅用于联调测试，其结果没有意义。",
        )
    async with open_coordinator(console.home) as coordinator:
        with console.steps(_PARTS) as progress:
            chosen: Effort = effort  # type: ignore[assignment]  # checked above
            kind: Modality | None = modality
            told = TimeTold(console, progress)
            trained = await train_dataset(
                coordinator, dataset, backbones, chosen, budget_kb, utc_now(), told, modality=kind
            )
    console.answer(trained.document, lambda: show(console, trained.manifest.name, trained.document))


async def evaluate(
    console: Console,
    model: Annotated[str, typer.Argument(help="model or model@version")],
    on: Annotated[Path, typer.Option(help="Zip or folder with one folder for each class")],
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group")] = None,
    save_predictions: Annotated[Path | None, typer.Option(help="Write one row an image to this CSV")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML file with plots; it names your files")] = None,
) -> None:
    """Run the released files over labelled images, exactly as a node would."""
    from coordinator.reports import page
    from coordinator.reports.evaluation import report as render
    from coordinator.training import evaluation

    check_targets(save_predictions, report)
    async with open_coordinator(console.home) as coordinator:
        manifest = await coordinator.models.manifest(model)
        with console.progress("Recognising", "识别", None) as advance:
            result = await asyncio.to_thread(
                evaluation.evaluate, manifest, coordinator.home.artifacts, on, groups, coordinator.engine, advance
            )
        trained_on = await Datasets(coordinator.database, coordinator.home, coordinator.engine).digests(manifest.model)
    document = evaluation.document(manifest, result, trained_on)
    if save_predictions is not None:
        evaluation.write_predictions(save_predictions, manifest, result)
    if report is not None:
        rendered = page.render(render(manifest, result, document, on.resolve().name, utc_now()), console.language)
        write_atomically(report, rendered.encode("utf-8"))

    def human() -> None:
        balanced = document["balanced_accuracy"]
        between = console.t("no interval", "无区间")
        if balanced["low"] is not None:
            between = f"{balanced['low']:.3f}–{balanced['high']:.3f}"
        console.line(
            f"{manifest.name} on {document['n']} images of {document['groups']} groups: balanced accuracy "
            f"{balanced['value']:.3f} ({between}).",
            f"{manifest.name}，{document['n']} 张图像，{document['groups']} 个分组：平衡准确率 "
            f"{balanced['value']:.3f}（{between}）。",
        )
        for warning in document["warnings"]:
            console.line(f"! {warning['text']}", f"! {warning['text_zh']}")
        console.table(
            [console.t("class", "类别"), console.t("sensitivity", "灵敏度"), console.t("specificity", "特异度"), "AUC", "n"],
            [[k, *(_with_bounds(v, name) for name in ("sensitivity", "specificity", "auc")), v["n"]]
             for k, v in document["per_class"].items()],
        )  # fmt: skip

    console.answer(document, human)


def _with_bounds(row: dict[str, Any], name: str) -> str:
    """A class's figure with its interval, as far as they are defined."""
    if row[name] is None:
        return "—"
    low, high = row["intervals"][name]["low"], row["intervals"][name]["high"]
    return f"{row[name]:.3f}" + ("" if low is None else f" ({low:.3f}–{high:.3f})")


async def model_list(console: Console) -> None:
    """All model versions."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.models.list()
    console.answer(
        {"models": rows},
        lambda: console.table(
            [
                console.t("model", "模型"),
                console.t("disease", "疾病"),
                console.t("balanced accuracy", "平衡准确率"),
                console.t("made", "时间"),
            ],
            [[f"{r['model']}@{r['version']}", r["disease"], _headline(r), r["created"]] for r in rows],
        ),
    )


def _headline(row: dict[str, Any]) -> str:
    """Balanced accuracy; a model that was brought ready-trained has none."""
    return "—" if row["balanced_accuracy"] is None else f"{row['balanced_accuracy']['value']:.3f}"


async def model_show(console: Console, model: Annotated[str, typer.Argument(help="model or model@version")]) -> None:
    """What training printed for a version."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.models.show(model)
    console.answer(document)


async def model_card(
    console: Console,
    model: Annotated[str, typer.Argument(help="model or model@version")],
    html: Annotated[Path | None, typer.Option(help="Write one HTML file with plots, for reading and printing")] = None,
    bundle_metadata: Annotated[
        Path | None, typer.Option(help="Write JSON with the field names of a MONAI bundle")
    ] = None,
) -> None:
    """The model card, in Markdown."""
    from coordinator.releases.cards.bundle import metadata
    from coordinator.releases.cards.content import card
    from coordinator.releases.cards.facts import gather
    from coordinator.reports import markdown, page

    check_targets(html, bundle_metadata)
    async with open_coordinator(console.home) as coordinator:
        facts = await gather(model, coordinator.models, coordinator.releases, coordinator.home, coordinator.config.name)
    content = card(facts)
    document = {"model": facts.manifest.name, "card": markdown.render(content, console.language)}
    if html is not None:
        write_atomically(html, page.render(content, console.language).encode("utf-8"))
        document["html"] = str(html)
    if bundle_metadata is not None:
        write_atomically(
            bundle_metadata, (json.dumps(metadata(facts), ensure_ascii=False, indent=2) + "\n").encode("utf-8")
        )
        document["bundle_metadata"] = str(bundle_metadata)
    written = [str(path) for path in (html, bundle_metadata) if path is not None]

    def human() -> None:
        for path in written:
            console.line(f"Written: {path}", f"已写入：{path}")
        if not written:
            console.line(document["card"], document["card"])

    console.answer(document, human)


async def model_export(
    console: Console,
    model: Annotated[str, typer.Argument(help="model or model@version")],
    single_file: Annotated[Path, typer.Option(help="Write one ordinary .tflite here")],
) -> None:
    """Join all stages into one ordinary TFLite file for other applications."""
    from coordinator.releases.export import single_file as join
    from coordinator.store.blobs import FolderBlobs

    async with open_coordinator(console.home) as coordinator:
        manifest = await coordinator.models.manifest(model)
        data = await asyncio.to_thread(join, manifest, FolderBlobs(coordinator.home.artifacts).path)
    write_atomically(single_file, data)
    document: dict[str, Any] = {
        "model": manifest.name,
        "file": str(single_file),
        "bytes": len(data),
        "input": manifest.input.document(),
        "labels": [x.label for x in manifest.labels],
    }
    console.answer(
        document,
        lambda: console.line(f"{single_file}: {len(data)} bytes.", f"{single_file}：{len(data)} 字节。"),
    )


async def backbone_list(console: Console) -> None:
    """The backbones that models can stand on."""
    async with open_coordinator(console.home) as coordinator:
        rows = Trunks(coordinator.home).list()
    console.answer(
        {"backbones": rows},
        lambda: console.table(
            [
                console.t("backbone", "主干网络"),
                console.t("licence", "许可"),
                console.t("converted", "已转换"),
                console.t("bytes", "字节"),
            ],
            [[r["backbone"], r["licence"], "✓" if r["converted"] else "—", r["bytes"] or ""] for r in rows]
            + [["file:PATH", "…", "", ""], ["random-SEED", console.t("wiring tests only", "仅用于联调"), "", ""]],
        ),
    )


async def backbone_fetch(
    console: Console, backbone: Annotated[str, typer.Argument(help="imagenet, nsfwjs-4.4.0, file:PATH, random-SEED")]
) -> None:
    """Fetch a backbone's weights and convert its trunk, twice, as a release needs it."""
    async with open_coordinator(console.home) as coordinator:
        console.say("Fetching and converting twice; about a minute.", "正在获取并转换两次，约需一分钟。")
        ready = await asyncio.to_thread(Trunks(coordinator.home).make_twice, backbone)
    document = {
        "backbone": ready.backbone.id,
        "trunk": ready.trunk.sha256,
        "bytes": ready.size_bytes,
        "weights_sha256": ready.backbone.weights_sha256,
        "licence": ready.backbone.licence,
    }
    console.answer(
        document,
        lambda: console.line(
            f"{ready.backbone.id}: trunk {ready.trunk.sha256[:12]}, {ready.size_bytes} bytes.",
            f"{ready.backbone.id}：主干 {ready.trunk.sha256[:12]}，{ready.size_bytes} 字节。",
        ),
    )

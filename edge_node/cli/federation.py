"""``data …`` and ``federation …``: labelled images of this site, and whether it takes part in federated runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge, utc_now
from edge_node.cli.root import group
from edge_node.cli.text import size_text
from edge_node.errors import EdgeError
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.federation.folder import Reading

_data = group("data", "Labelled images of this site; they never leave · 本机构的已标注图像，不会外传")
_federation = group("federation", "Taking part in federated runs · 参加联邦训练")


@command(_data, "add")
async def add(
    console: Console,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[FOLDER]", help="One folder for each class · 每个类别一个文件夹")
    ] = None,
    disease: Annotated[str | None, typer.Option(help="Slug; else the folder's name · 疾病")] = None,
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group; else FOLDER/groups.csv")] = None,
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed", help="Pictures confirmed here: sealed copies, else originals below FOLDER · 已确认的病例"
        ),
    ] = False,
) -> None:
    """Note labelled images for site tests and federated runs: they stay where they are · 登记本地已标注图像."""
    from edge_node.federation.folder import read_folder
    from edge_node.federation.store import SiteStore
    from protocols.manifest import SLUG, slugify

    if folder is None and not (confirmed and disease):
        raise typer.BadParameter("FOLDER may be left out with --confirmed --disease DISEASE only")
    slug = disease or slugify(folder.absolute().name if folder else "")
    if not SLUG.fullmatch(slug):
        raise typer.BadParameter("--disease takes a slug such as malaria")
    edge = Edge(console.home)
    with console.progress("Reading images", "读取图像", None) as advance:
        if confirmed or folder is None:
            reading = await _confirmed(edge, folder, slug, advance)
        else:
            reading = await asyncio.to_thread(read_folder, folder, groups, advance)
    async with SiteStore.open(edge.paths.federation) as store:
        added = await store.add(slug, reading)
        totals = (await store.diseases())[slug]
    document: dict[str, Any] = {
        "disease": slug,
        "added": added,
        "classes": totals,
        "groups": len({i.group for i in reading.images}),
        "groups_given": reading.grouped,
        "from_copies": sum(i.result is not None for i in reading.images),
        "from_files": sum(i.result is None for i in reading.images),
        "rejected": [{"file": file, "code": code} for file, code in reading.rejected],
        "label_conflicts": sorted(reading.conflicts),
    }

    def human() -> None:
        console.line(
            f"{added} images noted for {slug}; they stay where they are.",
            f"已为 {slug} 登记 {added} 张图像；图像保留在原处。",
        )
        console.table([console.t("class", "类别"), console.t("images", "图像")], [[k, v] for k, v in totals.items()])
        if document["from_copies"]:
            console.line(
                f"{document['from_copies']} are read from the sealed copies beside their results, as the model saw them: "
                f"their originals may be deleted.",
                f"其中 {document['from_copies']} 张读取结果旁的加密副本（即模型所见图像），原图可以删除。",
            )
        for row in document["rejected"]:
            console.line(f"! {row['file']}: {row['code']}", f"! {row['file']}：{row['code']}")
        for file in document["label_conflicts"]:
            console.line(
                f"! {file}: the same picture stands under two labels; set aside",
                f"! {file}：同一图像出现在两个标签下，已搁置",
            )
        if not reading.grouped:
            console.line(
                "! No groups were given: pictures of one patient may stand on both sides of the site's own test.",
                "! 未提供分组：同一患者的图像可能同时出现在训练与检验中。",
            )

    console.answer(document, human)


async def _confirmed(edge: Edge, folder: Path | None, disease: str, progress: Callable[[int, int], None]) -> Reading:
    from edge_node.federation.confirmed import read_confirmed, words

    async with edge.history() as history:
        results = [item async for item in history.every() if item is not None]
        copies = await history.pictures.results()
    known, labels = words(results, disease)
    return await asyncio.to_thread(read_confirmed, folder, known, labels, copies, progress)


@command(_data, "list")
async def list_(console: Console) -> None:
    """What is noted · 已登记的图像."""
    from edge_node.federation.store import SiteStore

    edge = Edge(console.home)
    found: dict[str, dict[str, int]] = {}
    if edge.paths.federation.exists():
        async with SiteStore.open(edge.paths.federation) as store:
            found = await store.diseases()
    console.answer(
        {"data": [{"disease": d, "classes": c} for d, c in found.items()]},
        lambda: console.table(
            [console.t("disease", "疾病"), console.t("class", "类别"), console.t("images", "图像")],
            [[d, label, n] for d, classes in found.items() for label, n in classes.items()],
        ),
    )


@command(_data, "remove")
async def remove(console: Console, disease: Annotated[str, typer.Argument(metavar="DISEASE")]) -> None:
    """Forget a disease's images and their features; the files stay where they are · 移除登记."""
    from edge_node.federation.store import SiteStore

    async with SiteStore.open(Edge(console.home).paths.federation) as store:
        count = await store.remove(disease)
    if not count:
        raise EdgeError("federation.no_images")
    console.answer(
        {"disease": disease, "removed": count},
        lambda: console.line(f"{count} images are forgotten.", f"已移除 {count} 张图像的登记。"),
    )


@command(_federation, "consent")
async def consent(
    console: Console,
    disease: Annotated[str, typer.Argument(metavar="DISEASE", help="As in the list of models · 疾病")],
    window: Annotated[str, typer.Option(help="Local hours, 22:00-06:00; empty: always · 时段")] = "",
    monthly_mb: Annotated[int, typer.Option(min=0, help="Most for the line in a month; 0: no limit · 每月流量")] = 0,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back · 撤回")] = False,
) -> None:
    """Let runs for a disease learn from this site's images; changes of a head leave, images never · 同意参加."""
    from importlib.util import find_spec

    from edge_node.federation.store import Consent, SiteStore
    from edge_node.transfer.window import Window
    from protocols.manifest import SLUG

    edge = Edge(console.home)
    edge.identity()
    if not SLUG.fullmatch(disease):
        raise typer.BadParameter("DISEASE is a slug such as malaria")
    if window:
        try:
            Window.parse(window)
        except ValueError as error:
            raise typer.BadParameter("--window takes 22:00-06:00") from error
    if find_spec("flwr") is None and not withdraw:
        raise EdgeError("federation.not_installed")
    async with SiteStore.open(edge.paths.federation) as store:
        if withdraw:
            await store.withdraw(disease)
        else:
            await store.consent(Consent(disease, utc_now(), window, monthly_mb))
    console.answer(
        {"disease": disease, "consent": not withdraw, "window": window, "monthly_mb": monthly_mb},
        lambda: console.line(
            f"This site {'no longer takes' if withdraw else 'takes'} part in runs for {disease}.",
            f"本机构{'不再参加' if withdraw else '参加'} {disease} 的联邦训练。",
        ),
    )


@command(_federation, "status")
async def status(console: Console) -> None:
    """What this site takes part in, with which images, and what it cost the line · 联邦训练状态."""
    from edge_node.federation.store import SiteStore

    edge = Edge(console.home)
    used = (await edge.ledger.this_month()).by_kind.get("federation", 0)
    consents, data = [], {}
    if edge.paths.federation.exists():
        async with SiteStore.open(edge.paths.federation) as store:
            consents, data = await store.consents(), await store.diseases()
    rows = [
        {
            "disease": c.disease,
            "since": c.since.isoformat(timespec="seconds"),
            "window": c.window,
            "monthly_mb": c.monthly_mb,
            "classes": data.get(c.disease, {}),
        }
        for c in consents
    ]

    def human() -> None:
        console.table(
            [
                console.t("disease", "疾病"),
                console.t("since", "同意时间"),
                console.t("hours", "时段"),
                console.t("images", "图像"),
            ],
            [[r["disease"], r["since"], r["window"] or "-", str(r["classes"])] for r in rows],
        )
        console.line(f"{size_text(used)} this month.", f"本月流量 {size_text(used)}。")

    console.answer({"consents": rows, "month_bytes": used}, human)

"""``upstream …``: other networks' catalogues, and taking a release of theirs over."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from coordinator.bootstrap import Coordinator, open_coordinator
from coordinator.errors import CoordinatorError
from coordinator.intake.datasets import Datasets
from coordinator.store.blobs import write_atomically
from protocols.console import Console, command
from protocols.manifest import SLUG, ReleaseManifest
from protocols.network import MAX_BYTES, NetworkFile

_PARTS = {
    "fetching": ("Fetching", "下载"),
    "trying": ("Vetting in the sandbox", "在沙箱中检查"),
    "measuring": ("Measuring on local data", "在本地数据上评估"),
}
_Network = Annotated[str, typer.Argument(metavar="NAME", help="As in upstream list · 网络名称")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Other networks · 其他网络")
    app.add_typer(group, name="upstream")
    command(group, "list")(list_)
    for function in (offer, add, show, refresh, remove, pull):
        command(group)(function)


async def offer(
    console: Console,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write · 输出文件")],
    url: Annotated[
        list[str] | None, typer.Option(help="https://… under which others reach this network; repeat")
    ] = None,
) -> None:
    """Write this network's file for another network; carry it by hand or read its digest out over the telephone."""
    if any(not one.startswith("https://") for one in url or ()):
        raise click.BadParameter("--url takes https://HOST[:PORT]")
    async with open_coordinator(console.home) as coordinator:
        serial = await coordinator.releases.serial()
        file = NetworkFile(
            coordinator.config.name,
            tuple(url or ()),
            coordinator.releases.repository.root_bytes(),
            coordinator.authority.pem.decode("ascii"),
            serial,
        )
    if not out.absolute().parent.is_dir():
        raise CoordinatorError("file.not_found", path=out.parent)
    write_atomically(out, file.to_bytes())
    document = {"file": str(out), "network": file.name, "root_sha256": _root(file), "least_serial": serial}
    console.answer(
        document,
        lambda: console.line(
            f"{out}: root {document['root_sha256']}. The other network should compare this digest.",
            f"{out}：根 {document['root_sha256']}。请对方网络核对该摘要。",
        ),
    )


def _root(file: NetworkFile) -> str:
    import hashlib

    return hashlib.sha256(file.root).hexdigest()


async def add(
    console: Console,
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="https://…; else the file's first address")] = None,
    root: Annotated[Path | None, typer.Option(help="The other network's file, or its root.json, handed over")] = None,
    name: Annotated[str | None, typer.Option(help="What to call it here · 名称")] = None,
) -> None:
    """Add another network: verified against the root that was handed over, or not at all · 添加其他网络."""
    if root is None:
        raise click.BadParameter("--root FILE is needed: trust in another network starts from a file handed over")
    if not root.is_file():
        raise CoordinatorError("file.not_found", path=root)
    with root.open("rb") as stored:
        file = NetworkFile.from_bytes(stored.read(MAX_BYTES + 1))
    async with open_coordinator(console.home) as coordinator:
        own = coordinator.releases.repository.metadata.glob("*.root.json")
        if any(path.read_bytes() == file.root for path in own):
            raise CoordinatorError("upstream.self")
        document = await coordinator.upstreams.add(url, file, name)
    console.answer(document, lambda: _print(console, document))


async def list_(console: Console) -> None:
    """The networks that were added · 已添加的网络."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.upstreams.list()
    headings = [
        console.t("name", "名称"),
        console.t("network", "网络"),
        console.t("address", "地址"),
        console.t("verified", "核对时间"),
        console.t("problem", "问题"),
    ]
    cells = [
        [r["upstream"], r["network"], r["url"], r["verified"] or "—", r["error"]["code"] if r["error"] else ""]
        for r in rows
    ]
    console.answer({"upstreams": rows}, lambda: console.table(headings, cells))


async def show(console: Console, name: _Network) -> None:
    """What a network offers, what was taken over, and what it revoked of that."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.upstreams.show(name)
    console.answer(document, lambda: _print(console, document))


async def refresh(console: Console, name: _Network) -> None:
    """Verify a network's present state now; what rests on a revoked release of it is paused (serve does it daily)."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.upstreams.refresh(name)
    console.answer(document, lambda: _print(console, document))


async def remove(console: Console, name: _Network) -> None:
    """Forget a network; versions that came from it stay, and their revocation there is heard of no more."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.upstreams.remove(name)

    def human() -> None:
        console.line(f"{name} is forgotten.", f"已移除 {name}。")
        for model in document["orphans"]:
            console.line(
                f"! {model} came from it: nobody hears of its revocation any more.",
                f"! {model} 来自该网络：今后无法得知其是否被撤回。",
            )

    console.answer(document, human)


async def pull(
    console: Console,
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="model@version there; model: its newest offer")],
    on: Annotated[str | None, typer.Option(help="Local data to measure it on: a data set, folder or zip")] = None,
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group, for a folder or zip")] = None,
    source: Annotated[str | None, typer.Option("--from", help="Which network · 哪个网络")] = None,
    model: Annotated[str | None, typer.Option("--as", help="The model's name here; else as there")] = None,
) -> None:
    """Verify, fetch, vet and measure a release of another network; it becomes a model version to propose here."""
    from disease_kb.seeding import open_or_build

    if sys.platform == "win32":
        raise CoordinatorError("vetting.no_sandbox", problem="Windows")
    if model is not None and not SLUG.fullmatch(model):
        raise click.BadParameter("--as takes a slug such as malaria-north")
    async with open_coordinator(console.home) as coordinator:
        async with await open_or_build(console.home) as knowledge:
            entries = frozenset(entry.id for entry in await knowledge.entries())
        with console.steps(_PARTS) as progress:
            evaluate = None
            if on is not None:
                evaluate = await _measuring(coordinator, on, groups, lambda d, t: progress("measuring", d, t))
            document = await coordinator.upstreams.pull(release, source, model, entries, evaluate, progress)
    console.answer(document, lambda: _print_pulled(console, document))


async def _measuring(
    coordinator: Coordinator, on: str, groups: Path | None, progress: Callable[[int, int], None]
) -> Callable[[ReleaseManifest], dict[str, Any]]:
    """What measures a release on the data that is meant.

    Raises:
        CoordinatorError: ``file.not_found``.
    """
    from coordinator.upstream.measured import laid_out, measure

    datasets = Datasets(coordinator.database, coordinator.home, coordinator.engine)
    names = {row["dataset"] for row in await datasets.all()}
    samples = await datasets.samples(on) if on in names else []
    if not samples and not await asyncio.to_thread(Path(on).exists):
        raise CoordinatorError("file.not_found", path=on)

    @contextmanager
    def place() -> Iterator[tuple[Path, Path | None]]:
        if not samples:
            yield Path(on), groups
            return
        with laid_out(samples, datasets.image_path) as folder:
            yield folder, None

    def evaluate(manifest: ReleaseManifest) -> dict[str, Any]:
        with place() as (folder, csv):
            shown = on if samples else Path(on).resolve().name
            return measure(manifest, coordinator.home.artifacts, folder, csv, shown, coordinator.engine, progress)

    return evaluate


def _print(console: Console, document: dict[str, Any]) -> None:
    console.line(
        f"{document['upstream']} ({document['network']}), root {document['root_sha256'][:16]}…, verified "
        f"{document['verified']}.",
        f"{document['upstream']}（{document['network']}），根 {document['root_sha256'][:16]}…，核对于 {document['verified']}。",
    )
    console.table(
        [console.t("release", "发布"), console.t("disease", "疾病"), "%"],
        [[r["release"], r["disease"], r["percent"]] for r in document["releases"]],
    )
    for row in document["taken"]:
        said = row["revoked"]
        if said is None:
            console.line(f"{row['model']} is {row['release']} of it.", f"{row['model']} 即其 {row['release']}。")
        else:
            console.line(
                f"! {row['model']} ({row['release']}) is revoked there: {said['reason']} Here: {said['act']}.",
                f"! {row['model']}（{row['release']}）已被对方撤回：{said['reason']} 本网络：{said['act']}。",
            )


def _print_pulled(console: Console, document: dict[str, Any]) -> None:
    name, origin = f"{document['model']}@{document['version']}", document["origin"]
    signed = ", ".join(origin["approvers"])
    console.line(
        f"{name} is {origin['release']} of {origin['network']}, signed there by {signed}; verified and vetted.",
        f"{name} 即 {origin['network']} 的 {origin['release']}，由 {signed} 在该处签名；已核验并检查。",
    )
    measured = origin["evaluation"]
    if measured is None:
        console.line(
            f"It was not measured here, so it cannot be proposed: upstream pull {origin['release']} --on DATA.",
            f"尚未在本地评估，不能提议发布：请运行 upstream pull {origin['release']} --on 数据。",
        )
    else:
        value = measured["balanced_accuracy"]["value"]
        console.line(
            f"Balanced accuracy here {value:.3f} on {measured['n']} images. Next: release propose {name}.",
            f"本地平衡准确率 {value:.3f}（{measured['n']} 张图像）。下一步：release propose {name}。",
        )
    for label in document["unmapped"]:
        console.line(f"! {label}: no entry of the knowledge base here.", f"! {label}：本地知识库没有对应条目。")

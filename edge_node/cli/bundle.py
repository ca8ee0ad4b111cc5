"""``bundle export`` and ``bundle import``: a stick in the place of a line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge, utc_now
from edge_node.cli.root import group
from edge_node.cli.text import adding, size_text
from edge_node.errors import EdgeError, TrustError
from protocols.console import Console, command

if TYPE_CHECKING:
    from edge_node.bundle.exporter import ListPart
    from edge_node.bundle.importer import Imported
    from edge_node.bundle.post import TakenIn
    from protocols.errors import MedMeshError

commands = group("bundle", "Models and results on a stick · 用 U 盘传送模型与结果")
_MOST_NAMED = 3


@command(commands, "export")
async def export_(
    console: Console,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to make, .medmesh · 输出文件")],
    disease: Annotated[
        list[str] | None, typer.Option("--disease", help="Also what is not installed here; may be repeated · 指定疾病")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT · 替换已有文件")] = False,
) -> None:
    """Put the newest list, its models and what waits for the coordinator on a stick · 导出数据包."""
    from edge_node.bundle.writer import write_bundle
    from protocols import bundle

    edge = Edge(console.home)
    identity = edge.identity()
    out = out if out.suffix else out.with_suffix(bundle.SUFFIX)
    if out.exists() and not force:
        raise EdgeError("bundle.exists", path=out)
    async with edge.lock(), edge.list_exporter() as exporter:
        with console.progress("Collecting", "正在收集", None) as advance:
            part = await exporter.collect(disease or [], adding(advance))
        mail, mail_failure = await _outgoing(edge, has_line=part.failure is None)
        header = {
            "format": bundle.FORMAT,
            "coordinator": identity.ca_sha256,
            "root": part.versions[0],
            "timestamp": part.versions[1],
            "serial": part.serial,
            "created": utc_now().isoformat(timespec="minutes"),
            "releases": part.releases,
        }
        artifacts, files = list(part.artifacts.values()), part.files | mail
        total = sum(map(len, files.values())) + sum(artifact.size_bytes for artifact, _ in artifacts)
        with console.progress(f"Writing {out.name}", f"正在写入 {out.name}", total) as advance:
            size = await asyncio.to_thread(write_bundle, out, header, files, artifacts, adding(advance))
    parcels = sum(name.startswith(bundle.PARCELS) for name in mail)
    document = {
        "path": str(out),
        "bytes": size,
        "serial": part.serial,
        "online": part.failure is None,
        "releases": part.releases,
        "missing": part.missing,
        "parcels": parcels,
        "receipts": len(mail) - parcels,
    }
    _warn_of_export(console, part, mail_failure)
    console.answer(document, lambda: _print_exported(console, document))


async def _outgoing(edge: Edge, *, has_line: bool) -> tuple[dict[str, bytes], MedMeshError | None]:
    """The mail; a node with a line sends its own over that. Where the history cannot be opened, the models go without."""
    carried = await edge.post().carried()
    try:
        return carried if has_line else carried | await edge.post().own(await edge.heartbeat()), None
    except EdgeError as error:
        return carried, error


def _warn_of_export(console: Console, part: ListPart, mail_failure: MedMeshError | None) -> None:
    if part.failure is not None and part.serial is None:
        console.say(
            f"The bundle carries no list and no models: {part.failure.message('en')}",
            f"数据包不含列表和模型：{part.failure.message('zh')}",
        )
    elif part.failure is not None:
        console.say(
            f"The list is the one last verified here: {part.failure.message('en')}",
            f"列表为本机上次核对的版本：{part.failure.message('zh')}",
        )
    elif not part.models:
        console.say(
            "No model is on the stick: none is in use here. Name what it is for with --disease.",
            "数据包不含模型：本机没有使用中的模型。请用 --disease 指定疾病。",
        )
    if part.missing:
        some = ", ".join(part.missing[:_MOST_NAMED])
        console.say(f"Not in the bundle ({len(part.missing)}): {some}", f"数据包缺少 {len(part.missing)} 项：{some}")
    if mail_failure is not None:
        console.say(
            f"No results are in the bundle: {mail_failure.message('en')}",
            f"数据包不含识别结果：{mail_failure.message('zh')}",
        )


def _print_exported(console: Console, document: dict[str, Any]) -> None:
    path, size = document["path"], size_text(document["bytes"])
    names = ", ".join(document["releases"]) or console.t("no models", "无模型")
    console.line(f"{path}: {size}, {names}.", f"{path}：{size}，{names}。")
    console.line(
        "On the other machine: medmesh-edge bundle import FILE", "在另一台机器上：medmesh-edge bundle import 文件"
    )


@command(commands, "import")
async def import_(
    console: Console,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A bundle · 数据包")],
) -> None:
    """Take a stick in with the checks of the network; asks nobody · 导入数据包，校验与联网相同，不访问网络."""
    from edge_node.bundle.reader import Bundle

    edge = Edge(console.home)
    identity = edge.identity()
    opened = await asyncio.to_thread(Bundle.opened, file)
    if opened.hint.coordinator != identity.ca_sha256:
        raise EdgeError("bundle.foreign")
    async with edge.local() as local:
        trust = await local.store.trust(identity.ca_sha256)
    taken = await edge.post().take_in(opened, () if trust is None else trust.rollout.revoked_nodes)
    root, timestamp = edge.kept_versions()
    is_older = opened.hint.root <= root and opened.hint.timestamp < timestamp
    done: Imported | None = None
    failure: MedMeshError | None = None
    taken_bytes, state = 0, "none"
    if opened.hint.timestamp and is_older and taken.is_any:
        state = "older"  # what a stick says against itself may be believed: its mail was what it came for
    elif opened.hint.timestamp:
        async with edge.from_bundle(opened) as (importer, source):
            try:
                with _copying(console) as (starting, advance):
                    done = await importer.run(starting, advance)
                failure, state = done.failure, "verified"
            except EdgeError as error:
                _advise(console, error)
                if not taken.is_any:
                    raise
                failure, state = error, "refused"
            taken_bytes = source.taken_bytes
    document = _document(done, taken, state, taken_bytes)
    document["error"] = None if failure is None else failure.document(console.language)["error"]
    console.answer(document, lambda: _print_imported(console, document))
    if failure is not None:
        raise failure


@contextmanager
def _copying(console: Console) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """Progress of copying from the stick: told first how much there is, then what has just arrived."""
    total = done = 0
    with console.progress("Copying from the bundle", "正在从数据包复制", None) as advance:

        def start(size_bytes: int) -> None:
            nonlocal total
            total = size_bytes

        def add(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            advance(done, total)

        yield start, add


def _advise(console: Console, error: EdgeError) -> None:
    """A stick is renewed in another way than a line."""
    if isinstance(error, TrustError):
        console.say(
            "Export a fresh bundle on a node that reaches the coordinator (a bundle's list is good for 7 days), and import that.",
            "请在能连接协调端的节点上重新导出数据包（列表有效期为 7 天），然后导入新的数据包。",
        )


def _document(done: Imported | None, taken: TakenIn, state: str, taken_bytes: int) -> dict[str, Any]:
    def named(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
        return [{"disease": disease, "release": release} for disease, release in pairs]

    return {
        "catalogue": state,
        "serial": None if done is None else done.serial,
        "switched": [] if done is None else named(done.switched),
        "installed": [] if done is None else named(done.installed),
        "knowledge_updated": done is not None and done.knowledge_updated,
        "revoked": [] if done is None else [{"release": r, "reason": why} for r, why in done.revoked.items()],
        "declined": [] if done is None else [decision.document() for decision in done.declined],
        "not_carried": [] if done is None else done.not_carried,
        "parcels": {"taken": taken.parcels, "refused": taken.refused},
        "receipts": taken.receipts,
        "acknowledged": taken.acknowledged,
        "bytes": taken_bytes,
    }


def _print_imported(console: Console, document: dict[str, Any]) -> None:
    if document["catalogue"] == "verified":
        number = document["serial"]
        console.line(f"The list is verified (number {number}).", f"列表已核对（第 {number} 号）。")
    elif document["catalogue"] == "older":
        console.line(
            "The bundle's list is older than this node's; nothing of it was taken.",
            "数据包中的列表比本机的旧，没有采用。",
        )
    for row in (*document["installed"], *document["switched"]):
        name, disease = row["release"], row["disease"]
        console.line(f"{name} is now in use for {disease}.", f"{disease} 现使用 {name}。")
    for row in document["declined"]:
        name = row["release"]
        console.line(
            f"{name} is declined at this site: medmesh-edge status says why.",
            f"本机构已拒绝 {name}：原因见 medmesh-edge status。",
        )
    for row in document["revoked"]:
        name, why = row["release"], row["reason"]
        console.line(f"{name} is revoked: {why}", f"{name} 已被撤回：{why}")
    if document["knowledge_updated"]:
        console.line("The knowledge base was updated.", "疾病知识库已更新。")
    if document["not_carried"]:
        some = ", ".join(document["not_carried"][:_MOST_NAMED])
        console.line(f"Not in the bundle: {some}", f"数据包未包含：{some}")
    if document["parcels"]["taken"]:
        count = document["parcels"]["taken"]
        console.line(
            f"{count} parcels of other nodes taken; medmesh-edge sync brings them to the coordinator.",
            f"收到其他节点的寄送数据 {count} 份；运行 medmesh-edge sync 交给协调端。",
        )
    if document["acknowledged"]:
        count = document["acknowledged"]
        console.line(f"The coordinator has {count} results of this node.", f"协调端已收到本节点的 {count} 条结果。")

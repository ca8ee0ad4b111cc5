"""``config get``, ``config set`` and ``status``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app, group
from edge_node.cli.text import size_text, time_text
from protocols.console import Console, command

commands = group("config", "Settings · 设置")


@command(commands)
def get(console: Console, key: Annotated[str | None, typer.Argument(metavar="[KEY]")] = None) -> None:
    """Show one setting, or all · 查看设置."""
    from edge_node.errors import EdgeError

    settings = Edge(console.home).config.document()
    if key is not None:
        if key not in settings:
            raise EdgeError("edge.config_key", key=key, known=", ".join(settings))
        settings = {key: settings[key]}
    rows = [[name, value] for name, value in settings.items()]
    console.answer(settings, lambda: console.table([console.t("Key", "键"), console.t("Value", "值")], rows))


@command(commands, "set")
def set_(console: Console, key: str, value: str) -> None:
    """Change one setting · 修改设置."""
    import tomli_w

    from edge_node.config import read_config
    from edge_node.files import write_atomic

    path = Edge(console.home).paths.config
    kept = read_config(path.read_bytes() if path.exists() else b"", {})
    changed = kept.changed(key, value).document()
    write_atomic(path, tomli_w.dumps(changed).encode())
    console.answer({key: changed[key]}, lambda: console.line(f"{key} = {changed[key]}", f"{key} = {changed[key]}"))


@command(app)
async def status(console: Console) -> None:
    """Show who this node is, how old its list is and what it holds; asks nobody · 查看本节点状态."""
    from edge_node import VERSION
    from edge_node.errors import NotEnrolledError

    edge = Edge(console.home)
    async with edge.local() as local:
        active = [r for r in await local.store.installed() if r.active]
        total = local.artifacts.total_bytes()
    answer = await edge.replica().lookup([])
    document: dict[str, Any] = {
        "version": VERSION,
        "enrolled": False,
        "models": [{"disease": r.disease, "model": r.model, "version": r.version} for r in active],
        "kb_version": answer.kb_version if answer else None,
        "bytes_stored": total,
    }
    try:
        identity = edge.identity()
        kept = edge.kept_catalogue()
        document |= {
            "enrolled": True,
            "node": identity.node,
            "name": identity.name,
            "coordinator": identity.coordinator,
            "urls": list(identity.urls),
            "node_url": identity.node_url,
            "ca_sha256": identity.ca_sha256,
            "catalogue": None
            if kept is None
            else {"serial": kept.catalogue.serial, "fetched": kept.fetched.isoformat(timespec="seconds")},
        }
        fetched = "-" if kept is None else time_text(kept.fetched)
        belongs = f"{identity.name} ({identity.node}) → {identity.coordinator}"
    except NotEnrolledError:
        fetched, belongs = "-", console.t("not joined yet", "尚未加入")

    def human() -> None:
        rows = [
            [console.t("Node", "节点"), belongs],
            [console.t("List as of", "列表时间"), fetched],
            [console.t("In use", "使用中"), ", ".join(r.name for r in active) or "-"],
            [console.t("Knowledge base", "疾病知识库"), document["kb_version"] or "-"],
            [console.t("Stored", "占用"), size_text(total)],
        ]
        console.table(["MedMesh", VERSION], rows)

    console.answer(document, human)

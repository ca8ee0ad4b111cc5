"""``config get``, ``config set`` and ``status``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_node.bootstrap import Edge
from edge_node.cli.root import app, group
from edge_node.cli.text import decision_texts, size_text, time_text, warn, warn_of_key_file
from protocols.console import Console, command

if TYPE_CHECKING:
    from protocols.errors import Language

_MOST_EVENTS = 5

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
    rows = [[name, _text(value)] for name, value in settings.items()]
    console.answer(settings, lambda: console.table([console.t("Key", "键"), console.t("Value", "值")], rows))


@command(commands, "set")
def set_(console: Console, key: str, value: str) -> None:
    """Change one setting · 修改设置."""
    kept = change(Edge(console.home).paths.config, key, value)
    text = f"{key} = {_text(kept)}"
    console.answer({key: kept}, lambda: console.line(text, text))


def _text(value: object) -> str:
    """A setting as one would type it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def change(path: Path, key: str, value: str) -> Any:
    """Write one setting to the file; returns it as it was understood.

    Raises:
        EdgeError: ``edge.config_key`` or ``edge.config_value``; nothing is written.
    """
    import tomli_w

    from edge_node.config import read_config
    from edge_node.files import write_atomic

    kept = read_config(path.read_bytes() if path.exists() else b"", {})
    changed = kept.changed(key, value).document()
    write_atomic(path, tomli_w.dumps(changed).encode())
    return changed[key]


@command(app)
async def status(console: Console) -> None:
    """Show who this node is, how old its list is and what it holds; asks nobody · 查看本节点状态."""
    from edge_node import VERSION
    from edge_node.health.pulse import last_accepted

    edge = Edge(console.home)
    async with edge.local() as local:
        active = [r for r in await local.store.installed() if r.active]
        events = await local.store.events()
        decisions = await local.store.decisions()
        standing = await edge.standing(local.store)
        total = local.artifacts.total_bytes()
        reported = await last_accepted(local.store)
    answer = await edge.replica().lookup([])
    outbox = await _outbox(edge, console.language)
    enrolled = _enrolment(edge)
    floor = standing.time_floor
    bandwidth = await _bandwidth(edge)
    document: dict[str, Any] = {
        "version": VERSION,
        "enrolled": bool(enrolled),
        **enrolled,
        "models": [
            {"disease": r.disease, "model": r.model, "version": r.version, "revoked": standing.revoked.get(r.name)}
            for r in active
        ],
        "acceptance": [decision.document() for decision in decisions],
        "kb_version": answer.kb_version if answer else None,
        "bytes_stored": total,
        "outbox": outbox,
        "bandwidth": bandwidth,
        "heartbeat": {"accepted": None if reported is None else reported.isoformat()},
        "serial": standing.serial,
        "staleness": standing.staleness(),
        "clock": {"ok": not standing.clock_behind, "not_before": None if floor is None else floor.isoformat()},
        "node_revoked": standing.node_revoked,
        "events": [
            {
                "code": e.code,
                "subject": e.subject,
                "message": e.message,
                "first": e.first.isoformat(),
                "last": e.last.isoformat(),
                "count": e.count,
            }
            for e in events
        ],
    }

    def human() -> None:
        belongs = console.t("not joined yet", "尚未加入")
        if enrolled:
            belongs = f"{enrolled['name']} ({enrolled['node']}) → {enrolled['coordinator']}"
        models = [
            r.name + (console.t(" (revoked)", "（已撤回）") if r.name in standing.revoked else "") for r in active
        ]
        rows = [
            [console.t("Node", "节点"), belongs],
            [
                console.t("Last verified", "上次核对"),
                "-" if standing.last_verified is None else time_text(standing.last_verified),
            ],
            [
                console.t("Certificate until", "证书有效期至"),
                time_text(datetime.fromisoformat(enrolled["certificate_end"])) if enrolled else "-",
            ],
            [console.t("In use", "使用中"), ", ".join(models) or "-"],
            [console.t("Knowledge base", "疾病知识库"), document["kb_version"] or "-"],
            [console.t("Stored", "占用"), size_text(total)],
            [console.t("Outbox", "发件箱"), _outbox_text(console, outbox)],
            [console.t("Status reported", "状态上报"), "-" if reported is None else time_text(reported)],
            [console.t("Bandwidth", "流量"), _bandwidth_text(console, bandwidth)],
        ]
        console.table(["MedMesh", VERSION], rows)
        for decision in decisions:
            console.line(*decision_texts(decision))
        for event in events[:_MOST_EVENTS]:
            text = f"{time_text(event.last)}  [{event.code}] {event.message}"
            console.line(text, text)
        warn(console, standing)
        warn_of_key_file(console, outbox["key_place"])

    console.answer(document, human)


async def _bandwidth(edge: Edge) -> dict[str, Any]:
    """What was used this month, and the limits."""
    used, config = await edge.ledger.this_month(), edge.config
    return {
        "month": used.month,
        "wan_bytes": used.wan_bytes,
        "lan_bytes": used.lan_bytes,
        "by_kind": used.by_kind,
        "monthly_mb": config.monthly_mb,
        "wan_kbps": config.wan_kbps,
        "lan_kbps": config.lan_kbps,
        "window": config.window,
        "metered": config.metered,
    }


def _bandwidth_text(console: Console, used: dict[str, Any]) -> str:
    def side(size_bytes: int, kbps: float, budget_mb: int = 0) -> str:
        budget = f" / {size_text(budget_mb * 1_000_000)}" if budget_mb else ""
        cap = console.t(f" (cap {kbps:g} kbit/s)", f"（上限 {kbps:g} kbit/s）") if kbps else ""
        return size_text(size_bytes) + budget + cap

    wan = side(used["wan_bytes"], used["wan_kbps"], used["monthly_mb"])
    lan = side(used["lan_bytes"], used["lan_kbps"])
    parts = [
        console.t(f"{wan} in {used['month']}", f"{used['month']} {wan}"),
        console.t(f"{lan} on the local network", f"局域网 {lan}"),
    ]
    if used["window"]:
        parts.append(console.t(f"downloads {used['window']}", f"下载时段 {used['window']}"))
    if used["metered"]:
        parts.append(console.t("metered", "按流量计费"))
    return console.t(", ", "，").join(parts)


async def _outbox(edge: Edge, language: Language) -> dict[str, Any]:
    """How the history stands; a broken one is shown and hides nothing else."""
    from edge_node.errors import EdgeError
    from edge_node.outbox.store import Counts

    failure: dict[str, str] | None = None
    try:
        counts = await edge.outbox().counts()
    except EdgeError as error:
        counts, failure = Counts(), error.document(language)["error"]
    return {**counts.document(), "error": failure}


def _outbox_text(console: Console, outbox: dict[str, Any]) -> str:
    if outbox["error"] is not None:
        return str(outbox["error"]["message"])
    parts = [
        console.t(f"{outbox['queued']} waiting", f"{outbox['queued']} 条待发送"),
        console.t(f"{outbox['acknowledged']} sent", f"{outbox['acknowledged']} 条已发送"),
        console.t(f"{size_text(outbox['wire_bytes'])} used", f"已用流量 {size_text(outbox['wire_bytes'])}"),
    ]
    if outbox["oldest_queued"] is not None:
        since = time_text(datetime.fromisoformat(outbox["oldest_queued"]))
        parts.insert(1, console.t(f"the oldest since {since}", f"最早一条 {since}"))
    if outbox["refused"]:
        parts.append(console.t(f"{outbox['refused']} turned down", f"{outbox['refused']} 条被拒绝"))
    if outbox["elsewhere"]:
        parts.append(
            console.t(f"{outbox['elsewhere']} for a former coordinator", f"{outbox['elsewhere']} 条属于原协调端")
        )
    return console.t(", ", "，").join(parts)


def _enrolment(edge: Edge) -> dict[str, Any]:
    """Who the node is; empty where it has not joined."""
    from edge_node.errors import NotEnrolledError
    from edge_node.identity.renewal import certificate_end

    try:
        identity = edge.identity()
    except NotEnrolledError:
        return {}
    return {
        "node": identity.node,
        "name": identity.name,
        "coordinator": identity.coordinator,
        "urls": list(identity.urls),
        "node_url": identity.node_url,
        "ca_sha256": identity.ca_sha256,
        "groups": list(identity.groups),
        "certificate_end": certificate_end(identity).isoformat(timespec="seconds"),
    }

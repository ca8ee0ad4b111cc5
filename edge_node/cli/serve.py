"""``serve``: the background agent."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from typing import Any

from edge_node.bootstrap import Edge
from edge_node.cli.root import app
from edge_node.cli.text import reason_text, size_text
from protocols.console import Console, command

_TEXTS = {
    "ready": ("Watching for news from {coordinator}.", "正在等待 {coordinator} 的通知。"),
    "connected": ("Connected to the coordinator.", "已连接协调端。"),
    "disconnected": ("No line to the coordinator; next try in {retry_s} s.", "与协调端断开，{retry_s} 秒后重试。"),
    "notice": ("The coordinator's list is at number {serial}.", "协调端列表为第 {serial} 号。"),
    "catalogue": ("List number {serial} verified.", "已验证第 {serial} 号列表。"),
    "updated": ("{release} is now in use for {disease}.", "{disease} 现使用 {release}。"),
    "knowledge": ("The knowledge base is now version {version}.", "疾病知识库已更新到 {version}。"),
    "sent": (
        "{records} results sent to the coordinator; {waiting} wait.",
        "已向协调端发送 {records} 条记录，{waiting} 条待发送。",
    ),
    "heartbeat": ("The coordinator knows how this node stands.", "已向协调端报告本节点状态。"),
    "postponed": ("Not fetched now ({size}): {why}.", "暂不下载（{size}）：{why}。"),
    "evicted": ("{release} was deleted to keep within the quota.", "为不超出配额，已删除 {release}。"),
    "declined": (
        "{release} is declined at this site; {against} stays in use.",
        "本机构拒绝 {release}，继续使用 {against}。",
    ),
    "federation": ("Federated run: {question}, {code}.", "联邦训练：{question}，{code}。"),
    "failed": ("{message} {remedy}", "{message}{remedy}"),
    "stopped": ("Stopped.", "已停止。"),
}


@command(app)
async def serve(console: Console) -> None:
    """Listen for new releases, keep the models in use up to date and send results, until stopped · 后台运行并自动更新."""
    from edge_node.agent.agent import Agent

    edge = Edge(console.home)
    identity = edge.identity()
    async with edge.local() as local:
        standing = await edge.standing(local.store)

    def emit(event: str, details: dict[str, Any]) -> None:
        if event == "ready":
            details = {"node": identity.node, "coordinator": identity.coordinator, **details}
        words = details
        if event == "postponed":
            words = {"size": size_text(details["bytes"]), "why": reason_text(console, details["reason"])}
        english, chinese = _TEXTS[event]
        text = console.t(english, chinese).format_map(words)
        console.answer({"event": event, **details}, lambda: console.line(text, text))

    agent = Agent(
        edge.gateway(lambda kind, code: emit("federation", {"question": kind, "code": code or "answered"})),
        edge.updates,
        edge.outbox(),
        edge.pulse(),
        edge.upkeep,
        edge.allowance().automatic,
        emit,
        language=console.language,
        kept_serial=standing.serial,
        auto_update=edge.config.auto_update,
        sleep=asyncio.sleep,
        chance=random.random,
    )

    async def work() -> None:
        bookkeeping = asyncio.create_task(edge.ledger.keep(asyncio.sleep))
        try:
            async with edge.serving_peers() as hub:
                hub.to_carry = edge.to_carry
                await agent.run()
        finally:
            bookkeeping.cancel()
            await edge.ledger.write()

    await _until_stopped(asyncio.ensure_future(work()))
    emit("stopped", {})


async def _until_stopped(task: asyncio.Task[None]) -> None:
    """Run until the task fails or somebody asks to stop."""
    loop = asyncio.get_running_loop()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise

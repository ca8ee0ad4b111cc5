"""``init`` and ``serve``."""

from __future__ import annotations

import json
import sys
import urllib.parse
from typing import Annotated, Literal

import click
import typer

from coordinator.bootstrap import initialise, open_coordinator, utc_now
from coordinator.config import Config
from coordinator.home import Home
from coordinator.releases import keys
from protocols.console import NOTICE, Console, command

LogFormat = Literal["json", "text"]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "init")(init)
    command(app, "serve")(serve)


async def init(
    console: Console,
    name: Annotated[str, typer.Option(help="Shown to nodes · 显示给节点的名称")] = "MedMesh coordinator",
    approvals: Annotated[
        int, typer.Option(min=1, max=9, help="People who must approve a release · 发布所需批准人数")
    ] = 2,
    database: Annotated[str, typer.Option(help="postgresql://USER@HOST/NAME; else SQLite in the home")] = "",
) -> None:
    """Make a coordinator: data folder, keys, settings."""
    if not name.strip() or len(name) > 80 or not name.isprintable():
        raise click.BadParameter("--name takes 1 to 80 printable characters")
    await initialise(console.home, Config(name=name.strip(), approvals=approvals, database=database))
    roots = [str(p) for p in keys.root_paths(Home(console.home))]

    def human() -> None:
        console.line(f"A coordinator is ready in {console.home}.", f"协调器已建立于 {console.home}。")
        if approvals > 1:
            console.line(
                f"Releases need {approvals} approvers. On the machine of each: medmesh-coordinator key create --out me.pem;\n"
                "here: medmesh-coordinator user add NAME --approver LINE. Then move these root keys to safe places offline:",
                f"发布需要 {approvals} 名审批人。在各自的机器上：medmesh-coordinator key create --out me.pem；\n"
                "在此处：medmesh-coordinator user add 名称 --approver 公钥行。之后请把以下根密钥离线保存：",
            )
            for path in roots:
                console.line(f"  {path}", f"  {path}")
        console.line(
            "Next: medmesh-coordinator dataset import PATH --disease SLUG",
            "下一步：medmesh-coordinator dataset import 路径 --disease 疾病",
        )
        console.line(NOTICE["en"], NOTICE["zh"])

    console.answer({"home": str(console.home), "name": name, "approvals": approvals, "root_keys": roots}, human)


async def serve(
    console: Console,
    host: Annotated[str, typer.Option(help="Address to listen on · 监听地址")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="HTTPS; 0: any free port")] = 8765,
    node_port: Annotated[int, typer.Option(min=0, max=65535, help="Node gateway; 0: any free port")] = 8766,
    public_url: Annotated[str | None, typer.Option(help="https://… under which nodes reach this machine")] = None,
    no_zeroconf: Annotated[bool, typer.Option("--no-zeroconf", help="Do not announce on the local network")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="json: one line a request too · 日志格式")] = "text",
) -> None:
    """Serve releases to nodes until stopped (Ctrl-C)."""
    from coordinator.web.logs import configure
    from coordinator.web.server import Access, Intake, Listening
    from coordinator.web.server import serve as run_server

    if public_url is not None:
        parts = urllib.parse.urlsplit(public_url)
        if parts.scheme != "https" or not parts.hostname or not parts.hostname.isascii():
            raise click.BadParameter("--public-url takes https://HOST:PORT with an ASCII host name (xn--… for others)")
    configure(log_format)

    def ready(addresses: dict[str, str]) -> None:
        sys.stdout.write(json.dumps(addresses) + "\n")
        sys.stdout.flush()
        console.say(NOTICE["en"], NOTICE["zh"])

    async with open_coordinator(console.home) as coordinator, coordinator.upstreams.watching():
        await run_server(
            coordinator.home,
            coordinator.config.name,
            coordinator.releases,
            coordinator.authority,
            coordinator.enrolment,
            coordinator.results,
            coordinator.parcels,
            Access(coordinator.tokens, coordinator.users, coordinator.sessions, coordinator.config.web),
            coordinator.heartbeats,
            Intake(
                coordinator.uploads,
                coordinator.jobs,
                coordinator.database,
                coordinator.config.uploads,
            ),
            coordinator.federation,
            coordinator.dashboard,
            coordinator.rollout_watch(),
            Listening(host, port, node_port, public_url, not no_zeroconf),
            utc_now,
            ready,
        )

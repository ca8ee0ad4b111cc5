"""``token …``: what programs may do over the network."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import click
import typer

from coordinator.access.roles import RIGHTS as ROLE_RIGHTS
from coordinator.access.roles import Role
from coordinator.bootstrap import open_coordinator, utc_now
from protocols.access import RIGHTS
from protocols.console import Console, command


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="API tokens · API 令牌")
    app.add_typer(group, name="token")
    command(group)(create)
    command(group, "list")(list_)
    command(group)(revoke)


async def create(
    console: Console,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What it allows; repeat for each: {', '.join(RIGHTS)}")
    ] = None,
    role: Annotated[Role | None, typer.Option(help="All that people of this role may · 按角色授权")] = None,
    name: Annotated[
        str | None, typer.Option(help="Whom it is for; data sets belong to this name, and so do later tokens of it")
    ] = None,
    expires: Annotated[int, typer.Option(min=1, max=3650, help="Days until it ends · 有效天数")] = 90,
) -> None:
    """Make an API token. It is shown once."""
    scopes = set(scope or ()) | (ROLE_RIGHTS[role] if role else set())
    if not scopes:
        raise click.BadParameter("token create takes --scope, or --role")
    if unknown := sorted(scopes - set(RIGHTS)):
        raise click.BadParameter(f"--scope takes {', '.join(RIGHTS)}, not {', '.join(unknown)}")
    if name is not None and (not name.strip() or len(name) > 80 or not name.isprintable()):
        raise click.BadParameter("--name takes 1 to 80 printable characters")
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.tokens.create(name and name.strip(), scopes, timedelta(days=expires), utc_now())

    def human() -> None:
        console.line(document["token"], document["token"])
        console.say(
            f"This line is shown once; hand it over on a safe way. It ends on {document['expires'][:10]}.",
            f"此行只显示一次，请安全转交。有效期至 {document['expires'][:10]}。",
        )

    console.answer(document, human)


async def list_(console: Console) -> None:
    """All tokens, without their secrets."""
    async with open_coordinator(console.home) as coordinator:
        rows = await coordinator.tokens.list(utc_now())
    console.answer(
        {"tokens": rows},
        lambda: console.table(
            [
                "id",
                console.t("for", "持有者"),
                console.t("scopes", "权限"),
                console.t("until", "有效期至"),
                console.t("state", "状态"),
            ],
            [[r["id"], r["owner"], " ".join(r["scopes"]), r["expires"][:10], r["state"]] for r in rows],
        ),
    )


async def revoke(console: Console, token: Annotated[str, typer.Argument(help="Id, as token list shows it")]) -> None:
    """End a token at once."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.tokens.revoke(token)
    console.answer(document, lambda: console.line(f"Token {token} is revoked.", f"令牌 {token} 已吊销。"))

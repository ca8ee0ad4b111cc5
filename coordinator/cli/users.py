"""``user …``: people, what they may, how they sign in, and who approves releases."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from coordinator.access.roles import Role
from coordinator.bootstrap import Coordinator, open_coordinator, utc_now
from coordinator.cli.keys import Keys, approvers, change_approvers, recorded
from coordinator.errors import CoordinatorError
from coordinator.releases import keys
from protocols.console import Console, command

_MOST_LINE_BYTES = 4096
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input")]
Link = Annotated[
    bool, typer.Option("--link", help="Print a link, good for a day, with which they choose a password themselves")
]
Url = Annotated[str | None, typer.Option(help="Address in the link, if serve's own is not right")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="People: roles, passwords, approvers · 用户")
    app.add_typer(group, name="user")
    command(group)(add)
    command(group, "list")(list_)
    command(group)(remove)
    command(group)(role)
    command(group)(password)


async def add(
    console: Console,
    name: Annotated[str, typer.Argument(help="Name of the person")],
    role: Annotated[Role | None, typer.Option(help="What they may do in the browser · 角色")] = None,
    password_stdin: FromStdin = False,
    link: Link = False,
    url: Url = None,
    approver: Annotated[
        str | None, typer.Option(help="The line that key create printed on their machine: they approve releases")
    ] = None,
    root_key: Keys = None,
) -> None:
    """Let a person in with a role, or approve releases with a key, or both."""
    if role is None and approver is None:
        raise click.BadParameter(f"user add takes --role {'|'.join(Role)}, or --approver LINE, or both")
    if role is None and (password_stdin or link):
        raise click.BadParameter("a password needs a --role")
    chosen = _password(password_stdin, link) if role is not None else None
    document: dict[str, Any] = {}
    async with open_coordinator(console.home) as coordinator:
        base = _base(coordinator, url) if link else ""
        if role is not None:
            document |= await coordinator.users.add(name, role, utc_now(), chosen)
            if link:
                document |= _whole(await coordinator.users.link(name, utc_now()), base)
        if approver is not None:
            document |= await _add_approver(coordinator, name, approver, root_key)
    _answer(console, document)


async def _add_approver(coordinator: Coordinator, name: str, line: str, root_key: list[Path] | None) -> dict[str, Any]:
    wanted, key = approvers(coordinator), keys.from_line(line)
    if name in wanted or key.keyid in {k.keyid for k in wanted.values()}:
        raise CoordinatorError("user.exists", name=name)
    async with recorded(coordinator, "approver.add", name):
        return change_approvers(coordinator, {**wanted, name: key}, root_key, None)


async def list_(console: Console) -> None:
    """Everybody with a role, and the approvers."""
    async with open_coordinator(console.home) as coordinator:
        document: dict[str, Any] = {
            "users": await coordinator.users.list(),
            "approvers": sorted(approvers(coordinator)),
            "needed": coordinator.releases.repository.threshold(),
        }

    def human() -> None:
        headings = (("name", "用户名"), ("role", "角色"), ("since", "创建于"), ("state", "状态"))
        rows = [[u["name"], u["role"], u["created"][:10], u["state"]] for u in document["users"]]
        console.table([console.t(*h) for h in headings], rows)
        _say_approvers(console, document)

    console.answer(document, human)


async def remove(
    console: Console,
    name: Annotated[str, typer.Argument(help="Name of the person")],
    root_key: Keys = None,
    key: Annotated[list[Path] | None, typer.Option(help="Key of an approver who stays; repeat for each")] = None,
) -> None:
    """Let a person in no more, at once, and take their right to approve; those who stay sign again where needed."""
    async with open_coordinator(console.home) as coordinator:
        wanted, now = approvers(coordinator), utc_now()
        document: dict[str, Any] = {}
        try:
            document |= await coordinator.users.remove(name)
        except CoordinatorError as error:
            if error.code != "user.account_unknown" or name not in wanted:
                raise
        else:
            held = [t["id"] for t in await coordinator.tokens.list(now) if t["owner"] == name and t["state"] == "valid"]
            document["tokens_left"] = held
            console.say(f"{name} is signed out everywhere.", f"{name} 已在所有设备上退出登录。")
            if held:
                listed = " ".join(held)
                console.say(
                    f"API tokens of that name go on working: {listed} (token revoke ID).",
                    f"该名称的 API 令牌仍有效：{listed}（token revoke 编号）。",
                )
        if name in wanted:
            document |= await _remove_approver(coordinator, wanted, name, root_key, key)
    _answer(console, document)


async def _remove_approver(
    coordinator: Coordinator,
    wanted: dict[str, Any],
    name: str,
    root_key: list[Path] | None,
    stay: list[Path] | None,
) -> dict[str, Any]:
    left = {n: k for n, k in wanted.items() if n != name}
    needed = coordinator.releases.repository.threshold()
    if len(left) < needed:
        raise CoordinatorError("user.needed", name=name, count=needed)
    async with recorded(coordinator, "approver.remove", name):
        return change_approvers(coordinator, left, root_key, stay)


async def role(
    console: Console,
    name: Annotated[str, typer.Argument(help="Name of the person")],
    role: Annotated[Role, typer.Argument(help="Their new role")],
) -> None:
    """Give a person another role. They are signed out everywhere."""
    async with open_coordinator(console.home) as coordinator:
        document = await coordinator.users.set_role(name, role)
    _answer(console, document)


async def password(
    console: Console,
    name: Annotated[str, typer.Argument(help="Name of the person")],
    password_stdin: FromStdin = False,
    link: Link = False,
    url: Url = None,
) -> None:
    """Give a person another password. They are signed out everywhere; with --link the old password ends at once."""
    chosen = _password(password_stdin, link)
    async with open_coordinator(console.home) as coordinator:
        if chosen is None:
            base = _base(coordinator, url)
            document = _whole(await coordinator.users.link(name, utc_now()), base)
        else:
            document = {"name": (await coordinator.users.set_password(name, chosen)).name}
    _answer(console, document)


def _password(from_stdin: bool, link: bool) -> str | None:
    """What was typed, twice, or piped in; None: a link is wanted."""
    if from_stdin and link:
        raise click.BadParameter("choose one of --password-stdin and --link")
    if link:
        return None
    if from_stdin:
        try:
            return sys.stdin.buffer.readline(_MOST_LINE_BYTES).decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise click.BadParameter("the password on standard input is not UTF-8") from error
    if not sys.stdin.isatty():
        raise click.BadParameter("no terminal to ask for a password at: give --password-stdin or --link")
    return str(typer.prompt("Password · 密码", hide_input=True, confirmation_prompt="Once more · 再次输入", err=True))


def _base(coordinator: Coordinator, url: str | None) -> str:
    if url is None:
        try:
            url = str(json.loads(coordinator.home.serving.read_text("utf-8"))["url"])
        except FileNotFoundError as error:
            raise CoordinatorError("coordinator.not_serving") from error
    return url.rstrip("/")


def _whole(document: dict[str, Any], base: str) -> dict[str, Any]:
    path = document.pop("path")
    return {**document, "link": base + path}


def _answer(console: Console, document: dict[str, Any]) -> None:
    def human() -> None:
        if "name" in document:
            what = console.t("removed", "已移除") if document.get("removed") else document.get("role", "")
            console.line(f"{document['name']}: {what or 'new password'}", f"{document['name']}：{what or '密码已更新'}")
        if "link" in document:
            console.line(document["link"], document["link"])
            console.say(
                f"Hand this link over on a safe way. It works once, until {document['expires']}.",
                f"请安全转交此链接。仅可使用一次，有效期至 {document['expires']}。",
            )
        if "approvers" in document:
            _say_approvers(console, document)

    console.answer(document, human)


def _say_approvers(console: Console, document: dict[str, Any]) -> None:
    listed = ", ".join(document["approvers"]) or "—"
    console.line(
        f"Approvers: {listed}; {document['needed']} needed.", f"审批人：{listed}；需要 {document['needed']} 人。"
    )

"""``key …``: who may sign, and how that changes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from securesystemslib.signer import CryptoSigner, Key

from coordinator.audit import record
from coordinator.audit.actor import current
from coordinator.bootstrap import Coordinator, open_coordinator, utc_now
from coordinator.releases import keys
from coordinator.store.blobs import write_atomically
from protocols.console import Console, command
from protocols.trust import Rollout

REMIND = timedelta(days=30)
Keys = Annotated[list[Path] | None, typer.Option(help="Root key file; repeat for each")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Signing keys · 签名密钥")
    app.add_typer(group, name="key")
    command(group, "create")(create)
    command(group, "list")(list_keys)
    command(group, "rotate")(rotate)


def create(
    console: Console,
    out: Annotated[Path, typer.Option(help="File for the private key; keep it to yourself")],
) -> None:
    """Make an approver's key on your own machine; prints the public line for the coordinator."""
    line = keys.public_line(keys.create(out).public_key)

    def human() -> None:
        console.line(line, line)
        console.say(
            "Give this line to the coordinator's keeper: user add NAME --approver LINE. Keep the file to yourself.",
            "请把这一行交给协调器管理员：user add 名称 --approver 公钥行。私钥文件请自行保管。",
        )

    console.answer({"key": line, "file": str(out)}, human)


async def list_keys(console: Console) -> None:
    """Roles, their thresholds and when their signatures end, with the coordinator's fingerprint."""
    async with open_coordinator(console.home) as coordinator:
        document = _roles(coordinator)

    def human() -> None:
        console.line(f"Fingerprint: {document['ca_sha256']}", f"指纹：{document['ca_sha256']}")
        console.table(
            [
                console.t(*x)
                for x in (("role", "角色"), ("keys", "密钥"), ("needed", "需要"), ("expires", "到期"), ("", ""))
            ],
            [
                [
                    r["role"],
                    r["keys"],
                    r["threshold"],
                    r["expires"][:10],
                    console.t("renew soon", "请尽快续签") if r["due"] else "",
                ]
                for r in document["roles"]
            ],
        )

    console.answer(document, human)


def _roles(coordinator: Coordinator) -> dict[str, Any]:
    repository = coordinator.releases.repository
    root = repository.root().signed
    rows: list[tuple[str, int, int, Any]] = [
        ("root", len(root.roles["root"].keyids), root.roles["root"].threshold, root.expires),
        (
            "targets",
            len(root.roles["targets"].keyids),
            root.roles["targets"].threshold,
            repository.current("targets").signed.expires,
        ),
    ]
    for name in ("approvers", "rollout"):
        role = repository.role(name)
        rows.append((name, len(role.keyids), role.threshold, repository.current(name).signed.expires))
    rows.append(("timestamp", 1, 1, repository.timestamp().signed.expires))
    now = utc_now()
    return {
        "ca_sha256": coordinator.authority.fingerprint,
        "roles": [
            {
                "role": name,
                "keys": count,
                "threshold": threshold,
                "expires": expires.isoformat(),
                "due": name != "timestamp" and expires - now < REMIND,
            }
            for name, count, threshold, expires in rows
        ],
    }


def _roots(coordinator: Coordinator, given: list[Path] | None) -> list[CryptoSigner]:
    return [keys.load(p) for p in given or keys.root_paths(coordinator.home)]


async def rotate(
    console: Console,
    role: Annotated[str, typer.Argument(help="online or root")],
    root_key: Keys = None,
) -> None:
    """Replace a role's key: ``online`` after it was stolen or a machine was sold, ``root`` when a keeper leaves."""
    if role not in ("online", "root"):
        raise click.BadParameter("key rotate takes online or root")
    async with open_coordinator(console.home) as coordinator:
        roots = _roots(coordinator, root_key)
        async with recorded(coordinator, "key.rotate", role):
            if role == "online":
                _rotate_online(coordinator, roots)
                files = [str(coordinator.home.keys / "online.pem")]
            else:
                files = _rotate_root(coordinator, roots)
        if role == "online":
            await coordinator.releases.announce(utc_now())
    console.answer(
        {"role": role, "files": files},
        lambda: console.line(f"{role}: new key(s) in {', '.join(files)}", f"{role}：新密钥位于 {', '.join(files)}"),
    )


@asynccontextmanager
async def recorded(coordinator: Coordinator, act: str, subject: str) -> AsyncIterator[None]:
    """What the block signs is in the audit trail, or it does not happen: a block that fails leaves no record."""
    async with coordinator.database.begin() as connection:
        await record(connection, current.get(), act, subject, {}, utc_now())
        yield


def _rotate_online(coordinator: Coordinator, roots: list[CryptoSigner]) -> None:
    """The new key waits beside the old one until everything is signed with it; a second try goes on with it."""
    home, repository = coordinator.home, coordinator.releases.repository
    waiting = home.keys / "online.new.pem"
    new = keys.load(waiting) if waiting.exists() else keys.create(waiting)
    with repository.exclusive():
        empty = Rollout(repository.rollout().serial + 1, coordinator.config.name, None, ())
        repository.rotate_online(roots, new, empty, utc_now())
        waiting.replace(home.keys / "online.pem")


def _rotate_root(coordinator: Coordinator, roots: list[CryptoSigner]) -> list[str]:
    home, repository = coordinator.home, coordinator.releases.repository
    generation = repository.root().signed.version + 1
    count = repository.root().signed.roles["root"].threshold
    paths = [home.keys / f"root-v{generation}-{n}.pem" for n in range(1, count + 1)]
    new = [keys.load(p) if p.exists() else keys.create(p) for p in paths]
    with repository.exclusive():
        repository.rotate_root(roots, new, keys.online(home), utc_now())
    for old in keys.root_paths(home):
        if old not in paths:
            old.rename(old.with_suffix(".retired"))
    return [str(p) for p in paths]


def approvers(coordinator: Coordinator) -> dict[str, Key]:
    """Approvers' keys by name."""
    names = keys.approver_names(coordinator.home)
    return {names.get(k, k[:16]): key for k, key in coordinator.releases.repository.approver_keys().items()}


def change_approvers(
    coordinator: Coordinator, wanted: dict[str, Key], roots: list[Path] | None, signers: list[Path] | None
) -> dict[str, Any]:
    """Let exactly these people approve.

    Args:
        coordinator: it.
        wanted: keys by name.
        roots: files of root keys; None: those that lie here.
        signers: files of approvers who stay and sign the releases so far again; None: those that lie here.
    """
    repository = coordinator.releases.repository
    local = signers if signers is not None else keys.approver_paths(coordinator.home)
    with repository.exclusive():
        repository.change_approvers(
            list(wanted.values()),
            _roots(coordinator, roots),
            [s for s in map(keys.load, local) if s.public_key.keyid in {k.keyid for k in wanted.values()}],
            keys.online(coordinator.home),
            utc_now(),
        )
    names = {key.keyid: name for name, key in wanted.items()}
    write_atomically(coordinator.home.keys / "approvers.json", json.dumps(names).encode())
    return {"approvers": sorted(wanted), "needed": repository.threshold()}

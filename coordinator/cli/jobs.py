"""``job …``: imports and trainings that wait or run, here or at another coordinator."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import click
import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.cli.remote import To, TokenText, remote
from coordinator.errors import CoordinatorError
from coordinator.jobs.queue import Request
from coordinator.uploads.declaration import EFFORTS
from protocols.console import Console, command
from protocols.manifest import SLUG

JobId = Annotated[str, typer.Argument(help="Id of the job, as job list shows it")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Queued imports and trainings · 任务队列")
    app.add_typer(group, name="job")
    command(group, "list")(list_)
    command(group)(show)
    command(group)(cancel)
    command(group)(train)


async def list_(console: Console, to: To = None, token: TokenText = None) -> None:
    """Jobs, newest first."""
    if to is not None:
        with remote(console, to, token) as there:
            document = there.get("/v1/jobs")
    else:
        async with open_coordinator(console.home) as coordinator:
            document = {"jobs": await coordinator.jobs.list()}
    console.answer(
        document,
        lambda: console.table(
            [
                console.t("job", "任务"),
                console.t("kind", "类型"),
                console.t("of", "对象"),
                console.t("for", "提交者"),
                console.t("state", "状态"),
                console.t("progress", "进度"),
                console.t("queued", "排队时间"),
            ],
            [
                [r["job"], r["kind"], r["subject"], r["owner"] or "—", r["state"], _progress(r), _minute(r["created"])]
                for r in document["jobs"]
            ],
        ),
    )


async def show(console: Console, job: JobId, to: To = None, token: TokenText = None) -> None:
    """One job with its result or error."""
    if to is not None:
        with remote(console, to, token) as there:
            document = there.get(f"/v1/jobs/{job}")
    else:
        async with open_coordinator(console.home) as coordinator:
            document = _in_language(console, await coordinator.jobs.show(job))
    console.answer(document)


async def cancel(console: Console, job: JobId, to: To = None, token: TokenText = None) -> None:
    """Cancel a job: at once where it waits, within seconds where it runs. Nothing of it is kept."""
    if to is not None:
        with remote(console, to, token) as there:
            document = there.call("POST", f"/v1/jobs/{job}/cancel")
    else:
        async with open_coordinator(console.home) as coordinator:
            document = _in_language(console, await coordinator.jobs.cancel(job, None, utc_now()))
    console.answer(
        document,
        lambda: console.line(
            f"Job {job} is {document['state'] if document['state'] == 'cancelled' else 'being cancelled'}.",
            f"任务 {job} {'已取消' if document['state'] == 'cancelled' else '正在取消'}。",
        ),
    )


async def train(
    console: Console,
    dataset: Annotated[str, typer.Argument(help="Name of the data set")],
    effort: Annotated[str, typer.Option(help="quick, standard or full")] = "standard",
    to: To = None,
    token: TokenText = None,
) -> None:
    """Queue a training; serve runs it."""
    if effort not in EFFORTS:
        raise click.BadParameter("--effort takes quick, standard or full")
    if to is not None:
        wanted = {"dataset": dataset, "effort": effort}
        with remote(console, to, token) as there:
            document = there.send_json("POST", "/v1/trainings", wanted)
    else:
        if not SLUG.fullmatch(dataset):
            raise CoordinatorError("dataset.unknown", name=dataset)
        async with open_coordinator(console.home) as coordinator:
            request = Request("train", dataset, "", frozenset(), {"effort": effort})
            document = _in_language(console, await coordinator.jobs.add(request, utc_now()))
    console.answer(
        document,
        lambda: console.line(f"Training queued: job {document['job']}.", f"训练已排队：任务 {document['job']}。"),
    )


def _minute(created: str) -> str:
    return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"


def _progress(row: dict[str, Any]) -> str:
    return f"{row['part']} {row['done']}/{row['total']}".strip() if row["state"] == "running" and row["total"] else ""


def _in_language(console: Console, job: dict[str, Any]) -> dict[str, Any]:
    error = job["error"]
    if error is None:
        return job
    chosen = {k: error[k][console.language] for k in ("message", "remedy")}
    return {**job, "error": {**error, **chosen}}

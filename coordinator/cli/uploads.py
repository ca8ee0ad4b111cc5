"""``dataset upload`` and ``model upload``: the same as ``import``, at a coordinator over the network."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from coordinator.cli.remote import TokenText, remote
from coordinator.cli.reporting import print_report
from coordinator.errors import CoordinatorError
from coordinator.uploads import packing
from coordinator.uploads import remote as uploading
from coordinator.uploads.declaration import EFFORTS, MODEL_FORMATS, MOST_GROUPS_BYTES, MOST_LABELS_BYTES
from protocols.console import Console
from protocols.imaging import MIN_EDGE_PX
from protocols.manifest import slugify

Url = Annotated[str, typer.Option(help="The coordinator's https:// address")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the result; job show tells it later")]
_KB = 1000
_SENDING = {"pack": ("Reading (kB)", "读取（kB）"), "send": ("Sending (kB)", "发送（kB）")}
_WAITING = {
    "": ("Waiting", "等待"),
    "verify": ("Checking what arrived (bytes)", "校验（字节）"),
    "images": ("Checking images", "检查图像"),
    "model": ("Checking the model", "检查模型"),
}


async def dataset(
    console: Console,
    path: Annotated[Path, typer.Argument(help="Zip or folder with one folder for each class")],
    to: Url,
    disease: Annotated[str, typer.Option(help="Disease slug, for example malaria")],
    token: TokenText = None,
    groups: Annotated[Path | None, typer.Option(help="CSV with the columns file,group (patients)")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the data set; one of yours is added to")] = None,
    merge_classes: Annotated[bool, typer.Option("--merge-classes", help="Treat Nevus and nevus as one class")] = False,
    first_frame: Annotated[bool, typer.Option("--first-frame", help="Take the first frame of animations")] = False,
    min_edge: Annotated[
        int, typer.Option(min=MIN_EDGE_PX, max=10_000, help="Refuse images below this many pixels a side")
    ] = MIN_EDGE_PX,
    train: Annotated[bool, typer.Option("--train", help="Then queue a training (scope train)")] = False,
    effort: Annotated[str, typer.Option(help="Of the training: quick, standard or full")] = "standard",
    no_wait: NoWait = False,
) -> None:
    """Send training images; the coordinator checks, cleans and imports them. Prints the cleaning report.

    An upload that was interrupted goes on where it was when the same command is run again.
    """
    if effort not in EFFORTS:
        raise click.BadParameter("--effort takes quick, standard or full")
    options: dict[str, Any] = {
        "disease": disease,
        "name": name or slugify(disease) or disease,
        "merge_classes": merge_classes,
        "first_frame": first_frame,
        "min_edge_px": min_edge,
    }
    if groups is not None:
        options["groups_csv"] = base64.b64encode(_small(groups, MOST_GROUPS_BYTES)).decode()
    if train:
        options["train"] = effort
    document = _upload(console, path, to, token, {"kind": "dataset", "dataset": options}, no_wait)

    def human() -> None:
        print_report(console, document)
        if "train_job" in document:
            queued = document["train_job"]
            console.line(f"Training queued: job {queued}.", f"训练已排队：任务 {queued}。")

    console.answer(document, (lambda: _queued(console, document)) if no_wait else human)


async def model(
    console: Console,
    file: Annotated[Path, typer.Argument(help="A .tflite, .keras or .h5 file")],
    to: Url,
    labels: Annotated[Path, typer.Option(help="JSON that describes the model: labels, input range and the rest")],
    token: TokenText = None,
    no_wait: NoWait = False,
) -> None:
    """Send a ready-trained model; the coordinator vets it in a sandbox before it becomes a candidate."""
    ending = file.suffix.lower().removeprefix(".")
    if ending not in MODEL_FORMATS:
        raise CoordinatorError("usage", problem=f"a model file ends in {', '.join('.' + e for e in MODEL_FORMATS)}")
    try:
        description = json.loads(_small(labels, MOST_LABELS_BYTES))
    except ValueError as error:
        raise CoordinatorError("usage", problem="--labels takes a JSON file") from error
    told = {"kind": "model", "model": {"format": ending, "description": description}}
    document = _upload(console, file, to, token, told, no_wait)
    console.answer(document, (lambda: _queued(console, document)) if no_wait else None)


def _small(path: Path, most_bytes: int) -> bytes:
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise CoordinatorError("upload.too_large", size=path.stat().st_size, limit=most_bytes)
    return data


def _upload(
    console: Console, path: Path, to: str, token: str | None, declaration: dict[str, Any], no_wait: bool
) -> dict[str, Any]:
    """Pack, send and wait; returns the job's result, or its id with ``--no-wait``."""
    with remote(console, to, token) as there:
        with console.steps(_SENDING) as show:
            packed = packing.pack(path, lambda done: show("pack", done // _KB, None))
            job, sent = uploading.send(
                there, packed, declaration, lambda done, total: show("send", -(-done // _KB), -(-total // _KB))
            )
        if no_wait:
            return {"job": job, "state": "queued", "sent_bytes": sent}
        with console.steps(_WAITING) as show:
            result = uploading.wait(
                there, job, lambda part, done, total: show(part if part in _WAITING else "", done, total or None)
            )
    return {**result, "sent_bytes": sent}


def _queued(console: Console, document: dict[str, Any]) -> None:
    console.line(f"Sent. Job {document['job']}.", f"已发送。任务 {document['job']}。")

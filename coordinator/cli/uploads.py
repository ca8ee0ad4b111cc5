"""``dataset upload`` and ``model upload``: the same as ``import``, at a coordinator over the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.cli.model_import import print_imported
from coordinator.cli.remote import TokenText, remote
from coordinator.errors import CoordinatorError
from coordinator.uploads import packing
from coordinator.uploads import remote as uploading
from coordinator.uploads.declaration import MODEL_FORMATS, MOST_LABELS_BYTES
from protocols.console import Console

Url = Annotated[str, typer.Option(help="The coordinator's https:// address")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the result; job show tells it later")]
_KB = 1000
_SENDING = {"pack": ("Reading (kB)", "读取（kB）"), "send": ("Sending (kB)", "发送（kB）")}
_WAITING = {
    "": ("Waiting", "等待"),
    "verify": ("Checking what arrived (bytes)", "校验（字节）"),
    "images": ("Checking images", "检查图像"),
    "converting": ("Converting the model", "转换模型"),
    "checking": ("Checking the model", "检查模型"),
    "trying": ("Trying the model in a sandbox", "在沙箱中试运行模型"),
}


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
        description = json.loads(small_file(labels, MOST_LABELS_BYTES))
    except ValueError as error:
        raise CoordinatorError("usage", problem="--labels takes a JSON file") from error
    told = {"kind": "model", "model": {"format": ending, "description": description}}
    document = upload(console, file, to, token, told, no_wait)
    console.answer(document, lambda: (queued if no_wait else print_imported)(console, document))


def small_file(path: Path, most_bytes: int) -> bytes:
    if not path.is_file():
        raise CoordinatorError("file.not_found", path=path)
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise CoordinatorError("upload.too_large", size=path.stat().st_size, limit=most_bytes)
    return data


def upload(
    console: Console, path: Path, to: str, token: str | None, declaration: dict[str, Any], no_wait: bool
) -> dict[str, Any]:
    """Pack, send and wait; returns the job's result, or its id with ``--no-wait``."""
    with remote(console, to, token) as there:
        with console.steps(_SENDING) as show:
            packed = packing.pack(path, lambda done, total: show("pack", -(-done // _KB), -(-total // _KB)))
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


def queued(console: Console, document: dict[str, Any]) -> None:
    console.line(f"Sent. Job {document['job']}.", f"已发送。任务 {document['job']}。")

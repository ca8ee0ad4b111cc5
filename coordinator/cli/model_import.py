"""``model import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from coordinator.bootstrap import open_coordinator, utc_now
from coordinator.errors import CoordinatorError
from protocols.console import Console

_PARTS = {
    "converting": ("Converting in the sandbox", "在沙箱中转换"),
    "checking": ("Checking without running", "静态检查"),
    "trying": ("Trying in the sandbox", "在沙箱中试运行"),
}


async def model_import(
    console: Console,
    file: Annotated[Path, typer.Argument(help="A .tflite, .keras or .h5 file · 模型文件")],
    labels: Annotated[Path, typer.Option(help="JSON that describes it: docs/model-import.md · 描述模型的 JSON")],
    by: Annotated[str | None, typer.Option(help="Who brings it; else this coordinator's name · 提供者")] = None,
) -> None:
    """Vet a ready-trained model in a sandbox and make it a version like any other · 导入已训练的模型."""
    if sys.platform == "win32":
        raise CoordinatorError("vetting.no_sandbox", problem="Windows")
    from coordinator.vetting.description import MAX_BYTES, read
    from coordinator.vetting.importing import import_model

    if not labels.is_file():
        raise CoordinatorError("file.not_found", path=labels)
    with labels.open("rb") as stored:
        description = read(stored.read(MAX_BYTES + 1))
    async with open_coordinator(console.home) as coordinator:
        with console.steps(_PARTS) as progress:
            document = await import_model(
                coordinator, file, description, by or coordinator.config.name, utc_now(), progress
            )

    console.answer(document, lambda: print_imported(console, document))


def print_imported(console: Console, document: dict[str, Any]) -> None:
    """What became of a model that was brought."""
    name = f"{document['model']}@{document['version']}"
    console.line(f"{name} is vetted and standardised.", f"{name} 已通过检查并标准化。")
    for protection, state in document["vetting"]["sandbox"].items():
        if state != "on":
            console.line(f"! sandbox, {protection}: {state}", f"! 沙箱 {protection}：{state}")
    console.line(
        "Nothing is known of its accuracy here, and every answer is unsure until it is calibrated: "
        f"evaluate {name} --on PATH, then recalibrate {name} --on PATH.",
        "其准确性未知，校准之前所有结果均为“不确定”："
        f"请先运行 evaluate {name} --on PATH，再运行 recalibrate {name} --on PATH。",
    )

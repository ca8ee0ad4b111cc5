"""The command tree."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Fetch and run disease-recognition models, online or not. Research use only · "
    "获取并在本机运行疾病识别模型，可离线使用。仅供研究",
    no_args_is_help=True,
    add_completion=False,
)


def group(name: str, text: str) -> typer.Typer:
    """A group of commands below the root."""
    commands = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(commands, name=name)
    return commands

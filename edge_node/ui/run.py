"""From a home folder to a running app."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from edge_node.ui.environment import configure_kivy, prepare_kivy, save_memory
from edge_node.ui.errors import UiError
from protocols.errors import Language

_NEEDED = {"kivy": "kivy", "fpdf": "fpdf2"}


def require_packages() -> None:
    """Refuse to start where the ``ui`` extra is not installed.

    Raises:
        UiError: ``ui.not_installed``.
    """
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise UiError("ui.not_installed", missing=", ".join(missing))


async def show(home: Path, language: Language, *, forced: bool) -> None:
    """Show the app until its window is closed.

    Args:
        home: the MedMesh home.
        language: the machine's, or the one asked for.
        forced: whether ``language`` was asked for and counts before the remembered one.

    Raises:
        UiError: ``ui.not_installed`` or ``ui.no_display``.
    """
    from edge_node.paths import Paths

    require_packages()
    save_memory()
    prepare_kivy(Paths.of_home(home).root / "ui" / "kivy")
    configure_kivy()
    from kivy.core.window import Window

    if Window is None:
        raise UiError("ui.no_display", fault="no window")

    from edge_node.ui.presenter.presenter import Presenter
    from edge_node.ui.screens.app import MedMeshApp
    from edge_node.ui.wiring.start import services
    from edge_node.ui.worker import Worker

    worker = Worker()
    parts, close = await services(home, worker, language)
    presenter = Presenter(parts, language if forced else None)
    try:
        await MedMeshApp(presenter).async_run(async_lib="asyncio")
    finally:
        await presenter.close()
        await close()
        await worker.close()

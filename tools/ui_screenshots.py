"""Draw the pictures in docs/screenshots, on a screen that is not there and with drawn cells.

.venv/bin/python tools/ui_screenshots.py
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT / "docs" / "screenshots"
WANTED = {
    ("en", 480): ("home", "check", "result", "unsure", "sheet", "device", "pin"),
    ("zh", 480): ("home", "result", "foreign", "page", "screening", "settings"),
    ("en", 1280): ("check",),
    ("zh", 1280): ("result",),
}


async def draw(folder: Path, language: str, width: int, wanted: tuple[str, ...]) -> None:
    """Walk through the app and keep the wanted pictures."""
    from edge_node.ui.presenter.presenter import Presenter
    from edge_node.ui.values import Offer, SetAside
    from tests.edge_node.ui.support.fakes import NOW, FakeNode
    from tests.edge_node.ui.support.screen import showing

    node = FakeNode(folder)
    node.preferences.chosen = "zh" if language == "zh" else "en"
    presenter = Presenter(node.services())
    async with showing(presenter, (width, 800)) as driver:

        async def keep(name: str) -> None:
            await driver.settle()
            if name in wanted:
                small = driver.picture().quantize(96, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
                small.save(OUT / f"{name}-{language}-{width}.png", optimize=True)

        async def photo(name: str) -> None:
            await driver.tap("source.file.smear.jpg")
            await keep("check")
            await driver.tap("check.go")
            await keep(name)
            presenter.home()
            await driver.settle()

        await keep("home")
        await driver.tap("home.disease.pneumonia")
        await keep("sheet")
        presenter.home()
        await driver.settle()
        await driver.tap("home.disease.malaria")
        await photo("result")
        for outcome, name in (("unsure", "unsure"), ("not_this_kind_of_image", "foreign")):
            node.recognition.outcome = outcome  # type: ignore[assignment]
            await driver.tap("home.disease.malaria")
            await photo(name)
        presenter.reading.read("malaria")
        await keep("page")
        node.library.offers[1] = Offer("pneumonia", "pneumonia", 2, "pneumonia@2", 0, 2)
        presenter.home()
        presenter.models.look()
        await driver.settle()
        await driver.tap("home.all")
        await photo("screening")
        node.device.set_aside = (SetAside("malaria", "malaria@4", NOW),)
        presenter.device.open()
        await keep("device")
        presenter.device.open_settings()
        await keep("settings")
        presenter.locking.choose_new()
        await keep("pin")


def main() -> None:
    """Draw them all."""
    from tests.edge_node.ui.support.screen import start_kivy

    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if problem := start_kivy(Path(folder)):
            sys.exit(problem)
        for (language, width), wanted in WANTED.items():
            asyncio.run(draw(Path(folder), language, width, wanted))


if __name__ == "__main__":
    main()

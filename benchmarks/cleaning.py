"""Cleaning: how fast one core checks images and makes the copies that are kept, what bombs cost, and what keeping costs accuracy.

Speed is of ``check`` itself, CPU seconds of one process, on cells of 200 px (PNG) and on photographs of 12 megapixels (JPEG);
the rival is what a naive import does with the same files: decode the whole with Pillow and save it again.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from figures import data_folder, figure, trunk
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from coordinator.intake.images import Wanted, check, kept_copy
from protocols.imaging import open_image, prepare
from protocols.pipeline import StageRunner

ROOT = Path(__file__).resolve().parent.parent
CELLS, CELL_PX, PHOTOS, PHOTO_PX = 200, 200, 16, (4000, 3000)
LEAST_CELLS, LEAST_PHOTOS = 60, 8
MOST_BYTES = 300_000_000
COMPARED, LARGE = 200, 40


def cells(folder: Path) -> list[Path]:
    """Cells of 200 px: real ones made that size where they are at hand, else drawn."""
    source = data_folder("malaria_cells")
    files = sorted(source.glob("*/*.png"))[::8][:CELLS] if source else []
    made = []
    for number in range(CELLS):
        picture = Image.open(files[number]).convert("RGB") if files else drawn(number, (6, 6))
        made.append(folder / f"{number}.png")
        picture.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC).save(made[-1])
    return made


def drawn(seed: int, shape: tuple[int, int]) -> Image.Image:
    """Soft colours with grain, so that nothing compresses to nothing."""
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(30, 220, (*shape, 3), dtype=np.uint8))


def photos(folder: Path) -> list[Path]:
    """12 megapixels with a camera's grain."""
    made = []
    for number in range(PHOTOS):
        soft = np.asarray(drawn(number, (30, 40)).resize(PHOTO_PX, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = np.random.default_rng(number).integers(-8, 9, soft.shape, dtype=np.int16)
        made.append(folder / f"photo{number}.jpg")
        Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(made[-1], quality=90)
    return made


def rate(files: list[Path], work: Callable[[Path], object]) -> float:
    """Files a CPU second."""
    start = time.process_time()
    for file in files:
        work(file)
    return len(files) / (time.process_time() - start)


def naive(path: Path) -> bytes:
    """All pixels, all of them again."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "PNG" if path.suffix == ".png" else "JPEG", quality=95)
    return buffer.getvalue()


def speed(name: str, files: list[Path], least: int, folder: Path) -> None:
    def checked(path: Path) -> None:
        assert not check(Wanted(path, folder / "kept", 16, False)).code

    checked(files[0])  # imports
    ours, rival = rate(files, checked), rate(files, naive)
    target = f"≥ {least} a CPU s"
    figure(
        f"cleaning {name}, images a CPU s a core",
        f"{ours:.1f}",
        f"{rival:.1f} naive",
        ours / rival,
        target,
        ours >= least,
    )


def bombs(folder: Path) -> None:
    """An import of bombs in a process of its own, measured from outside."""
    sys.path.insert(0, str(ROOT))
    from tests.support.bombs import huge_png, text_bomb, zip_bomb
    from tests.support.pictures import write_set

    subprocess.run(
        [str(Path(sys.executable).parent / "medmesh-coordinator"), "init", "--home", str(folder / "home"), "--json"],
        check=True,
        capture_output=True,
    )
    source = write_set(folder / "set", 4)
    (source / "groups.csv").unlink()
    for name, data in (("huge", huge_png()), ("text", text_bomb(b"zTXt")), ("profile", text_bomb(b"iCCP"))):
        (source / "uninfected" / f"{name}.png").write_bytes(data)
    (folder / "bomb.zip").write_bytes(zip_bomb())
    for name, path in (("13000 x 13000 and 300 MB of metadata", source), ("300 MB zip bomb", folder / "bomb.zip")):
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.measured_import", str(folder / "home"), str(path)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        found = json.loads(done.stdout)
        most = max(found["parent"], found["workers"])
        text = f"{found['parent'] / 1e6:.0f} MB, worker {found['workers'] / 1e6:.0f} MB"
        figure(f"peak memory, {name}", text, "—", None, f"≤ {MOST_BYTES / 1e6:.0f} MB", most <= MOST_BYTES)


def features(sources: list[bytes | Path]) -> np.ndarray:
    """Every tap of every picture, [pictures, channels]."""
    ready = trunk().trunk
    runner = StageRunner(ready.path)
    rows = []
    for source in sources:
        with open_image(source) as image:
            outputs = runner.run({next(iter(runner.inputs)): prepare(image, ready.spec)})
        rows.append(np.concatenate([outputs[t][0] for t in ready.taps]))
    return np.array(rows)


def kept_features(name: str, folder: Path) -> None:
    """What re-encoding costs: features of originals against those of kept copies, as they are and as a phone takes them."""
    source = data_folder(name)
    if source is None:
        return
    files = [p for p in sorted(source.glob("*/*")) if p.suffix in (".png", ".jpg", ".jpeg")]
    chosen = files[:: max(1, len(files) // COMPARED)][:COMPARED]
    before, after = features(list(chosen)), features([kept_copy(p) for p in chosen])
    same = int((before == after).all(axis=1).sum())
    text = f"{same} of {len(chosen)} bit-identical"
    figure(f"{name}: features of kept copies", text, "originals", None, "all", same == len(chosen))

    other = [p for p in files if p not in set(chosen)]
    large = [enlarged(p, n, folder) for n, p in enumerate(other[:: max(1, len(other) // LARGE)][:LARGE])]
    seen, kept = features(list(large)), features([kept_copy(p) for p in large])
    scale = before.std(axis=0)
    used = scale > 0.1 * np.median(scale)  # what hardly varies tells nothing and divides by nothing
    error = float(np.sqrt((((kept - seen)[:, used] / scale[used]) ** 2).mean()))
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    head.fit(before, [p.parent.name for p in chosen])
    agree = float((head.predict(seen) == head.predict(kept)).mean())
    text = f"{agree:.3f} same label, features off by {error:.3f} standard deviations"
    figure(
        f"{name} as {len(large)} photographs of 12 MP: kept copies", text, "originals", None, "≥ 0.97", agree >= 0.97
    )


def enlarged(path: Path, seed: int, folder: Path) -> Path:
    """A picture as of 12 megapixels, with a camera's grain."""
    with Image.open(path) as image:
        soft = np.asarray(image.convert("RGB").resize(PHOTO_PX, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = np.random.default_rng(seed).integers(-8, 9, soft.shape, dtype=np.int16)
    target = folder / f"large{seed}.jpg"
    Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8)).save(target, quality=90)
    return target


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        speed(f"{CELL_PX}-px cells", cells(folder), LEAST_CELLS, folder)
        speed("12-megapixel photographs", photos(folder), LEAST_PHOTOS, folder)
        bombs(folder)
        for name in ("malaria_cells", "cxr_pneumonia", "brain_mri"):
            kept_features(name, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

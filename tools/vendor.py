"""Fetch the dashboard's scripts and styles from npm, check them against pinned digests, and lay them beside the pages.

    .venv/bin/python tools/vendor.py            # fetch and write
    .venv/bin/python tools/vendor.py --check    # fetch and compare with what is committed

Needs ``npm``. Nothing is built: files are taken as their makers published them.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "coordinator" / "web" / "static" / "vendor"
TESTS = ROOT / "tests" / "support" / "vendor"


@dataclass(frozen=True)
class Package:
    """One npm package: what is taken from it, and under which name it is kept."""

    name: str
    version: str
    integrity: str  # as npm states it
    licence: str  # SPDX
    folder: Path
    files: dict[str, str]


PACKAGES = (
    Package(
        "htmx.org",
        "2.0.11",
        "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        "0BSD",
        PAGES,
        {"dist/htmx.min.js": "htmx.min.js", "LICENSE": "htmx.LICENSE"},
    ),
    Package(
        "htmx-ext-sse",
        "2.2.4",
        "sha512-LJmxVhykyflBWgh5PvbRidcyuqMHlgfajmmzumvKctv9puvsufeH6OaejSMZTNTnEI8O2wXXn4ZZtBdpEMqmEQ==",
        "0BSD",
        PAGES,
        {"dist/sse.min.js": "htmx-sse.min.js", "LICENSE": "htmx-sse.LICENSE"},
    ),
    Package(
        "uplot",
        "1.6.32",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        "MIT",
        PAGES,
        {"dist/uPlot.iife.min.js": "uplot.min.js", "dist/uPlot.min.css": "uplot.min.css", "LICENSE": "uplot.LICENSE"},
    ),
    Package(
        "@picocss/pico",
        "2.1.1",
        "sha512-kIDugA7Ps4U+2BHxiNHmvgPIQDWPDU4IeU6TNRdvXQM1uZX+FibqDQT2xUOnnO2yq/LUHcwnGlu1hvf4KfXnMg==",
        "MIT",
        PAGES,
        {"css/pico.min.css": "pico.min.css", "LICENSE.md": "pico.LICENSE"},
    ),
    Package(
        "axe-core",
        "4.14.1",
        "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
        "MPL-2.0",
        TESTS,
        {"axe.min.js": "axe.min.js", "LICENSE": "axe.LICENSE"},
    ),
)


def fetched(package: Package) -> dict[Path, bytes]:
    """The wanted files of a package, from an archive that has the pinned digest."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{package.name}@{package.version}"
        subprocess.run(["npm", "pack", "--silent", wanted], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        digest = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if digest != package.integrity:
            raise SystemExit(f"{wanted} has the digest {digest}, not the pinned one")
        files = {}
        with tarfile.open(archive) as tar:
            for member, name in package.files.items():
                found = tar.extractfile(f"package/{member}")
                assert found is not None
                files[package.folder / name] = found.read()
        return files


def main() -> None:
    """Write or compare."""
    check, wrong = "--check" in sys.argv, []
    for package in PACKAGES:
        for path, data in fetched(package).items():
            if check:
                wrong += [] if path.is_file() and path.read_bytes() == data else [path.name]
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        sys.stdout.write(f"{package.name} {package.version} ({package.licence})\n")
    if wrong:
        raise SystemExit(f"differ from what npm has: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

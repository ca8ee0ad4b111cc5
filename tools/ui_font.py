"""Cut the app's font: WenQuanYi Micro Hei to GB2312 and to every character that the app can be asked to show.

    .venv/bin/python tools/ui_font.py [/usr/share/fonts/truetype/wqy/wqy-microhei.ttc]

Needs Debian's package fonts-wqy-microhei and fonttools (the ``dev`` extra). The result is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc")
FONT = ROOT / "edge_node" / "ui" / "fonts" / "MedMeshSans.ttf"
WRITTEN = ("disease_kb/seed/*.toml", "protocols/error_codes/*.toml", "edge_node/ui/locale/*/LC_MESSAGES/*.po")
PYTHON = ("edge_node/ui/**/*.py", "protocols/notice.py")


def gb2312() -> set[str]:
    """Every character of the Chinese national standard's first set."""
    found = set()
    for high in range(0xA1, 0xF8):
        for low in range(0xA1, 0xFF):
            try:
                found.add(bytes((high, low)).decode("gb2312"))
            except UnicodeDecodeError:
                continue
    return found


def shown() -> set[str]:
    """Every printable character in the knowledge base's seed and in the app's own sentences."""
    files = [path for pattern in (*WRITTEN, *PYTHON) for path in ROOT.glob(pattern)]
    return {character for path in files for character in path.read_text("utf-8") if character.isprintable()}


def main(source: Path) -> None:
    """Write the font."""
    latin = {chr(code) for code in (*range(0x20, 0x7F), *range(0xA0, 0x180))}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "characters.txt")
        text.write_text("".join(sorted(gb2312() | shown() | latin)), "utf-8")
        cut = ["--no-hinting", "--layout-features=", "--name-IDs=0,1,2,4,13,14", "--notdef-outline"]
        arguments = [str(source), "--font-number=0", f"--text-file={text}", f"--output-file={FONT}", *cut]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
        subprocess.run([sys.executable, "-m", "fontTools.subset", *arguments], check=True, env=environment)
    sys.stdout.write(f"{FONT.relative_to(ROOT)}: {FONT.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)

"""Kivy's surroundings, set before it is first imported: nothing of it outside the node's home, no log files."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

SIZE = (480, 800)
_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3  # malloc.h
_LARGE_BYTES = 256 * 1024


def prepare_kivy(home: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Keep Kivy's files in ``home``, its hands off the command line and its log off disk and terminal."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    environment["KIVY_HOME"] = str(home)
    environment["KIVY_NO_ARGS"] = "1"
    environment["KIVY_NO_FILELOG"] = "1"
    environment["KIVY_NO_CONSOLELOG"] = "1"
    environment["KIVY_NO_ENV_CONFIG"] = "1"
    environment["KIVY_LOG_MODE"] = "PYTHON"
    log = logging.getLogger("kivy")
    log.addHandler(logging.NullHandler())
    log.propagate = False


def save_memory() -> None:
    """Keep glibc from giving each thread a heap of its own, which costs tens of megabytes here and gains nothing."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_ARENA_MAX, 2)
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)  # pictures go back to the system as soon as they are freed


def configure_kivy(size: tuple[int, int] = SIZE) -> None:
    """Window, font and input devices; to be called before the window exists."""
    from kivy.config import Config

    font = str(Path(__file__).parent / "fonts" / "MedMeshSans.ttf")
    Config.set("kivy", "default_font", ["MedMeshSans", font, font, font, font])
    Config.set("kivy", "exit_on_escape", "0")
    Config.set("kivy", "log_level", "warning")
    Config.set("graphics", "width", str(size[0]))
    Config.set("graphics", "height", str(size[1]))
    Config.set("graphics", "minimum_width", "360")
    Config.set("graphics", "minimum_height", "480")
    Config.set("graphics", "multisamples", "0")
    Config.set("graphics", "maxfps", "60")
    if Config.has_section("input"):
        for name, _ in Config.items("input"):
            Config.remove_option("input", name)
    Config.set("input", "mouse", "mouse,disable_multitouch")

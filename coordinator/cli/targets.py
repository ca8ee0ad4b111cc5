"""Files that a command is asked to write."""

from __future__ import annotations

import os
from pathlib import Path

from coordinator.errors import CoordinatorError


def check_targets(*targets: Path | None) -> None:
    """Refuse before the long work starts, where a result could not be written after it.

    Raises:
        CoordinatorError: ``file.not_found``, ``file.wrong_kind`` or ``storage.not_writable``.
    """
    for target in targets:
        if target is None:
            continue
        if not target.absolute().parent.is_dir():
            raise CoordinatorError("file.not_found", path=target.parent)
        if target.is_dir():
            raise CoordinatorError("file.wrong_kind", path=target)
        if not os.access(target.absolute().parent, os.W_OK):
            raise CoordinatorError("storage.not_writable", path=target.parent)

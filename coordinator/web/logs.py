"""The server's log: text, or one JSON document a line. A fault is told by its kind and place, never by its words."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Literal, TextIO

from coordinator.web.observing import request_id


def _fault(record: logging.LogRecord) -> str:
    """Kind and place of what was raised: its words may hold what somebody sent."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    code = getattr(error, "code", "")
    kind = f"{type(error).__name__} {code}" if isinstance(code, str) and code else type(error).__name__
    return f"{kind} at " + " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames))


class JsonLines(logging.Formatter):
    """``{"time", "level", "logger", "message", "request", …}``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document = {"time": when, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if name := request_id.get():
            document["request"] = name
        if fault := _fault(record):
            document["fault"] = fault
        document |= getattr(record, "fields", {})
        return json.dumps(document, ensure_ascii=False, default=str)


class Text(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fault = _fault(record)
        return f"{record.levelname} {record.name} {record.getMessage()}" + (f": {fault}" if fault else "")


def configure(form: Literal["json", "text"], stream: TextIO | None = None) -> None:
    """Log to stderr: JSON with a line for each request, text with warnings alone. Libraries only warn."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Text())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("medmesh").setLevel(logging.INFO if form == "json" else logging.WARNING)

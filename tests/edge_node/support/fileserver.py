"""Plain static file servers: Python's own, which knows no ranges, and one that does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.edge_node.support.releases import Simulator


class FileServer:
    """What the server does, and what it saw. ``lies`` alters each artifact, ``breaks_after`` cuts each answer off."""

    def __init__(self) -> None:
        self.url = ""
        self.ranges = False
        self.lies = False
        self.breaks_after: int | None = None
        self.redirects = 0
        self.asked: list[tuple[str, str | None]] = []
        self.sent = 0


@contextmanager
def files(folder: Path, **settings: Any) -> Iterator[FileServer]:
    """Serve ``folder`` on loopback until the block is left."""
    server = FileServer()
    for name, value in settings.items():
        assert hasattr(server, name)
        setattr(server, name, value)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            server.asked.append((self.path, asked))
            if server.redirects:
                hops = self.path.count("/hop")
                if hops < server.redirects:
                    self.send_response(302)
                    self.send_header("Location", "/hop" + self.path)
                    self.end_headers()
                    return
                self.path = self.path.replace("/hop", "")
            path = Path(self.translate_path(self.path))
            if not path.is_file():
                self.send_error(404)
                return
            data = path.read_bytes()
            if server.lies and "artifacts" in self.path:
                data = bytes(255 - b for b in data)
            self._answer(data, asked if server.ranges else None)

        def _answer(self, data: bytes, asked: str | None) -> None:
            start, end = 0, len(data)
            if asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                start, end = int(first), min(int(last) + 1, len(data)) if last else len(data)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(end - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            self.end_headers()
            body = data[start:end]
            if server.breaks_after is not None and "artifacts" in self.path:
                body = body[: server.breaks_after]
            server.sent += len(body)
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def write_tree(simulator: Simulator, folder: Path) -> Path:
    """The simulator's published state as a static tree."""
    simulator.update()
    held: dict[str, bytes] = {}
    for release in simulator.releases:
        held |= release.files
    written = {f"artifacts/{sha256}": data for sha256, data in held.items()}
    written |= {f"tuf/{path}": data for path, data in simulator.repository.files.items()}
    for name, data in written.items():
        path = folder / "v1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder

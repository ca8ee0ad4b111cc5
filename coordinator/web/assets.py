"""The pages' scripts and styles: read once, compressed once, served under their digest so that browsers keep them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response

from coordinator.errors import CoordinatorError

_TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_FILES = (
    "vendor/pico.min.css",
    "vendor/uplot.min.css",
    "vendor/htmx.min.js",
    "vendor/htmx-sse.min.js",
    "vendor/uplot.min.js",
    "app.css",
    "app.js",
    "charts.js",
    "icon.svg",
)
_DIGITS = 16


@dataclass(frozen=True)
class Asset:
    """One file as it is served."""

    url: str
    media_type: str
    plain: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """All of them, by name."""
    folder = resources.files("coordinator.web").joinpath("static")
    found = {}
    for name in _FILES:
        data = folder.joinpath(name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()[:_DIGITS]
        short = name.rpartition("/")[2]
        found[short] = Asset(
            f"/static/{digest}/{short}", _TYPES[short.rpartition(".")[2]], data, gzip.compress(data, 9, mtime=0)
        )
    return found


def url(name: str) -> str:
    """Where an asset is, with its digest."""
    return assets()[name].url


def serve(request: Request) -> Response:
    """An asset by digest and name.

    Raises:
        CoordinatorError: ``api.not_found``; another digest is another file.
    """
    asset = assets().get(request.path_params["name"])
    if asset is None or asset.url != request.url.path:
        raise CoordinatorError("api.not_found")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.media_type, headers=headers)
    return Response(asset.plain, media_type=asset.media_type, headers=headers)


def licences() -> list[tuple[str, str]]:
    """Name and licence text of what others made."""
    folder = resources.files("coordinator.web").joinpath("static", "vendor")
    texts = sorted((f for f in folder.iterdir() if f.name.endswith(".LICENSE")), key=lambda f: f.name)
    return [(f.name.removesuffix(".LICENSE"), f.read_text("utf-8")) for f in texts]

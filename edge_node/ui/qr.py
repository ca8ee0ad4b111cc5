"""The text of a QR code in a picture. Needs zxing-cpp, a part of the ``ui`` extra. Blocking."""

from __future__ import annotations

from pathlib import Path

from edge_node.ui.errors import UiError
from protocols.imaging import open_image, to_rgb


def read(path: Path) -> str:
    """The first QR code's text.

    Raises:
        UiError: ``ui.qr_missing`` without the reader, ``ui.qr_none`` where there is no code.
        ImageError: it is not a picture.
    """
    try:
        import zxingcpp
    except ImportError as error:
        raise UiError("ui.qr_missing") from error
    with open_image(path) as image:
        found = zxingcpp.read_barcodes(to_rgb(image), formats=zxingcpp.BarcodeFormat.QRCode)
    if not found:
        raise UiError("ui.qr_none")
    return str(found[0].text)

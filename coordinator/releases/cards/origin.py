"""The card's part about the network that made and signed a release first."""

from __future__ import annotations

from typing import Any

from coordinator.reports.document import NONE, Alert, Block, Cell, Facts, Paragraph, Section, Words, figure, joined
from protocols.manifest import ReleaseManifest
from protocols.origin import KEY

__all__ = ["KEY", "section"]

_ABOUT = Words(
    "Another network trained, tested and signed this release first. Its files are unchanged; they were vetted and measured "
    "here, and signed a second time by the approvers of this network. The file named below holds its manifest as it was "
    "signed there, with every signature, so that anybody can check it.",
    "本发布由另一网络训练、测试并首先签名。文件未作改动；在此经过检查和评估，并由本网络的批准人再次签名。"
    "下列证明文件包含其原签名清单及全部签名，任何人均可核验。",
)
_NOT_MEASURED = Words(
    "It was not measured on data of this network; the figures of its origin may not hold here.",
    "尚未在本网络的数据上评估；来源网络的指标在此未必成立。",
)


def section(manifest: ReleaseManifest) -> Section:
    """The part of the card."""
    found: dict[str, Any] = manifest.data[KEY]
    measured = found["evaluation"]
    rows: list[tuple[Words, Cell]] = [
        (Words("Network", "来源网络"), str(found["network"])),
        (Words("Release there", "来源发布"), f"{found['release']} ({found['disease']})"),
        (Words("Signed there by", "来源批准人"), joined(found["approvers"])),
        (Words("Balanced accuracy there", "来源平衡准确率"), _figure(found["balanced_accuracy"])),
        (Words("Balanced accuracy here", "本网络平衡准确率"), _figure(measured and measured["balanced_accuracy"])),
        (Words("Root of its trust", "信任根"), f"SHA-256 {found['root']}"),
        (Words("Its signed manifest", "来源签名清单"), f"SHA-256 {found['manifest']}"),
        (Words("Proof", "证明文件"), f"SHA-256 {found['proof']}"),
    ]
    blocks: list[Block] = [Paragraph(_ABOUT), Facts(tuple(rows))]
    if measured is None:
        blocks.append(Alert(_NOT_MEASURED))
    return Section(Words("From another network", "来自其他网络"), tuple(blocks))


def _figure(found: dict[str, Any] | None) -> str:
    if not found:
        return NONE
    if found.get("low") is None:
        return figure(found["value"])
    return f"{figure(found['value'])} ({figure(found['low'])} – {figure(found['high'])})"

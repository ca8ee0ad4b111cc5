"""Referral sheets, written by a process of their own: its libraries would stay in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_node.bootstrap import utc_now
from edge_node.ui import referral
from edge_node.ui.values import Finding, Words
from edge_node.ui.wiring.node import Adapter
from protocols.errors import Language


class PdfReferrals(Adapter):
    """Referral sheets."""

    async def write(self, finding: Finding, name: Words, language: Language) -> Path:
        """Write a sheet into the node's home."""
        folder = self._node.folder / "referrals"
        asked = referral.describe(finding, name, language, utc_now(), folder)
        return Path(await self._worker.call(_in_child, asked))


def _in_child(asked: bytes) -> str:
    command = [sys.executable, "-m", "edge_node.ui.referral"]
    done = subprocess.run(command, input=asked, capture_output=True, check=True)
    return done.stdout.decode()

"""Everything that the presenter works with, opened and closed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any

from edge_node.bootstrap import utc_now
from edge_node.ui.camera import find_camera
from edge_node.ui.ports import Services
from edge_node.ui.preferences import FilePreferences
from edge_node.ui.vault import Vault
from edge_node.ui.wiring.crops import ModelCrops
from edge_node.ui.wiring.device import EdgeDevice
from edge_node.ui.wiring.enrolment import EdgeEnrolment
from edge_node.ui.wiring.explanation import EvidenceMaps
from edge_node.ui.wiring.history import EdgeHistory
from edge_node.ui.wiring.knowledge import ReplicaReader
from edge_node.ui.wiring.library import EdgeLibrary
from edge_node.ui.wiring.node import Node
from edge_node.ui.wiring.pictures import FilePictures
from edge_node.ui.wiring.recognition import EdgeRecognition
from edge_node.ui.wiring.referrals import PdfReferrals
from edge_node.ui.wiring.vault import WorkerVault
from edge_node.ui.worker import Worker
from protocols.errors import Language


def _load() -> None:
    """Import what the first use would otherwise import in the middle of a tap."""
    for name in ("numpy", "PIL.JpegImagePlugin", "disease_kb.diagnosis", "edge_node.outbox.history", "keyring"):
        import_module(name)
    for name in (
        "edge_node.knowledge.replica",
        "edge_node.recognition.overlay",
        "edge_node.worker.guard",
        "edge_node.capture.service",
    ):
        import_module(name)


async def services(
    home: Path, worker: Worker, language: Language
) -> tuple[Services, Callable[[], Coroutine[Any, Any, None]]]:
    """Everything that the presenter works with, and how to close it."""

    async def make() -> Node:
        return Node(home)

    node = await worker.run(make)

    async def close() -> None:
        await asyncio.gather(loading, return_exceptions=True)
        await worker.run(node.close)

    loading = asyncio.ensure_future(worker.call(_load))

    parts = (worker, node)
    return (
        Services(
            library=EdgeLibrary(*parts),
            enrolment=EdgeEnrolment(*parts),
            pictures=FilePictures(*parts),
            recognition=EdgeRecognition(*parts),
            knowledge=ReplicaReader(*parts),
            device=EdgeDevice(*parts),
            vault=WorkerVault(worker, Vault(node.folder / "vault", utc_now)),
            preferences=FilePreferences(node.folder / "preferences.json", language, worker),
            referrals=PdfReferrals(*parts),
            history=EdgeHistory(*parts),
            crops=ModelCrops(*parts),
            explainer=EvidenceMaps(*parts),
            camera=find_camera(worker),
        ),
        close,
    )

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.coordinator.nodes.gateways import Running, running


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway with one enrolled node, ``n1``."""
    async with running(tmp_path) as found:
        yield found

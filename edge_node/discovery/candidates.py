"""Which of the peers heard of are kept. At most 64, however many are forged; decides only."""

from __future__ import annotations

from protocols.discovery import MAX_CANDIDATES, Announcement

Address = tuple[str, int]

_MOST_FAILED = 1024


class PeerCandidates:
    """Addresses by name of service. A place is kept until the candidate fails, or is withdrawn unproved.

    So whoever has answered cannot be pushed out by a flood, and the flood's own entries make room as they fail.
    """

    def __init__(self) -> None:
        self._kept: dict[Address, str] = {}
        self._proved: set[Address] = set()
        self._failed: dict[Address, None] = {}

    @property
    def room(self) -> int:
        """How many more would be kept."""
        return MAX_CANDIDATES - len(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def holds(self, service: str) -> bool:
        """Whether an address of this service is kept."""
        return service in self._kept.values()

    def hear(self, service: str, announcement: Announcement) -> bool:
        """Take an address up; returns whether it is new."""
        address = (announcement.host, announcement.port)
        if not self.room or address in self._kept or address in self._failed:
            return False
        self._kept[address] = service
        return True

    def withdrawn(self, service: str) -> None:
        """The service said goodbye, or somebody did in its name: who has proved itself stays until it fails."""
        for address in [a for a, name in self._kept.items() if name == service and a not in self._proved]:
            del self._kept[address]

    def proved(self, address: Address) -> None:
        """One of our coordinator's nodes answered there."""
        if address in self._kept:
            self._proved.add(address)

    def failed(self, address: Address) -> None:
        """Nobody answered there, or somebody else: its place goes to another."""
        self._proved.discard(address)
        if self._kept.pop(address, None) is None:
            return
        self._failed[address] = None
        if len(self._failed) > _MOST_FAILED:
            del self._failed[next(iter(self._failed))]

    def forgive(self) -> None:
        """What failed may be tried again."""
        self._failed.clear()

"""Which chunk of one artifact to fetch from where. Pure: events and the time go in, decisions come out.

Each chunk that nobody near holds is fetched over the WAN by one node: by rendezvous hashing (Thaler and Ravishankar, 1998)
among those that want the artifact, so that all agree without talking; a claim tells the others which ones are under way.
Whoever has nothing of its own left takes over what a busy owner will not get to soon, or a silent one has not claimed. A
peer that misbehaves is asked again only where there is no other way, and after two strikes not at all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from protocols.peering import Have

STRIKES = 2
ANSWER_S = 3.0  # for a chunk asked of a peer, where the LAN has no cap
GRACE_S = 2.0  # for an owner to claim a chunk that nobody has
CLAIM_S = 5.0  # without progress a claim lapses; with progress it holds this long at least
UNCONFIRMED = (
    2  # chunks of a node's own; with more it may be one whose bytes do not arrive well, and leaves the WAN to others
)
BACKLOG = 2  # chunks that an owner is left
PATIENCE = 3.0  # a claim may take this many times what one of our own chunks took
MOST_ASKED = 3  # chunks under way from one peer


@dataclass
class _Claim:
    size: int
    since: float
    moved: float


@dataclass
class _Peer:
    """What a peer says, and how it behaved."""

    held: Have | None = None
    gained: set[int] = field(default_factory=set)
    lacked: set[int] = field(default_factory=set)
    wants: bool = False
    strikes: int = 0
    asked: dict[int, float] = field(default_factory=dict)
    claims: dict[int, _Claim] = field(default_factory=dict)

    def holds(self, index: int) -> bool:
        said = index in self.gained or (self.held is not None and self.held.holds(index))
        return said and index not in self.lacked


class Plan:
    """One artifact's chunks: held, asked for, under way."""

    def __init__(self, me: str, artifact: str, chunks: int, held: Collection[int], answer_s: float = ANSWER_S) -> None:
        """Args: me: this process's instance id; held: chunks that are here already; answer_s: a peer's time for one."""
        self._answer_s = answer_s
        self._me = me
        self._artifact = artifact
        self._missing = set(range(chunks)) - set(held)
        self._peers: dict[str, _Peer] = {}
        self._free_since: dict[int, float] = {}
        self._unconfirmed: set[int] = set()  # fetched over the WAN by this node, and had by no peer yet
        self._loading: dict[int, float] = {}
        self._own_s = 0.0

    @property
    def is_done(self) -> bool:
        """Whether every chunk is here."""
        return not self._missing

    @property
    def peers(self) -> list[str]:
        """Every peer that was heard of."""
        return list(self._peers)

    def has_said(self, peer: str) -> bool:
        """Whether a peer has said what it holds."""
        return peer in self._peers and self._peers[peer].held is not None

    def is_out(self, peer: str) -> bool:
        """Whether a peer has lost its credit."""
        return peer in self._peers and self._peers[peer].strikes >= STRIKES

    def is_missing(self, index: int) -> bool:
        """Whether this chunk is still wanted."""
        return index in self._missing

    def is_hopeful(self, now: float) -> bool:
        """Whether a peer holds something that is missing here, or is fetching it."""
        return any(
            peer.strikes < STRIKES and (any(map(peer.holds, self._missing)) or self._claimed(peer, now))
            for peer in self._peers.values()
        )

    # --- what happened ------------------------------------------------------------------------------------------------

    def has(self, peer: str, have: Have) -> None:
        """A peer said what it holds."""
        self._known(peer).held = have

    def wants(self, peer: str, *, wanted: bool) -> None:
        """A peer began or ceased to fetch the artifact."""
        known = self._known(peer)
        known.wants = wanted
        if not wanted:
            known.claims.clear()

    def gained(self, peer: str, index: int) -> None:
        """A peer has one more chunk."""
        known = self._known(peer)
        known.gained.add(index)
        self._unconfirmed.discard(index)
        known.claims.pop(index, None)

    def claimed(self, peer: str, index: int, size: int, now: float) -> bool:
        """A peer is fetching a chunk over the WAN; returns whether this node, which is too, should stop."""
        known = self._known(peer)
        claim = known.claims.setdefault(index, _Claim(size, now, now))
        if size > claim.size:
            claim.size, claim.moved = size, now
        return index in self._loading and peer < self._me and known.strikes == 0

    def unclaimed(self, peer: str, index: int) -> None:
        """A peer gave a chunk up."""
        self._known(peer).claims.pop(index, None)

    def left(self, peer: str) -> None:
        """A peer is gone."""
        self._peers.pop(peer, None)

    def asked(self, peer: str, index: int, now: float) -> None:
        """A chunk was asked of a peer."""
        self._known(peer).asked[index] = now

    def lacked(self, peer: str, index: int) -> None:
        """A peer has not got what it said it had."""
        known = self._known(peer)
        known.asked.pop(index, None)
        known.lacked.add(index)

    def struck(self, peer: str) -> None:
        """A peer misbehaved."""
        self._known(peer).strikes += 1

    def answered(self, peer: str, index: int) -> bool:
        """A peer sent a chunk; returns whether it had been asked for."""
        return self._known(peer).asked.pop(index, None) is not None

    def arrived(self, index: int) -> None:
        """A chunk is here, checked."""
        self._missing.discard(index)
        for peer in self._peers.values():
            peer.claims.pop(index, None)

    def loading(self, index: int, now: float) -> None:
        """A fetch of a chunk over the WAN began here over the WAN."""
        self._loading[index] = now

    def loaded(self, index: int, now: float, *, whole: bool) -> None:
        """It ended; with ``whole`` because the chunk is here."""
        since = self._loading.pop(index, now)
        if whole:
            self._unconfirmed.add(index)
            self._own_s = max(self._own_s, now - since)

    # --- what to do -----------------------------------------------------------------------------------------------------

    def overdue(self, now: float) -> list[str]:
        """Peers that owed an answer for too long; each gets one strike, and what was asked of it is free again."""
        late = []
        for name, peer in self._peers.items():
            if any(now - since > self._answer_s for since in peer.asked.values()):
                peer.asked.clear()
                peer.strikes += 1
                late.append(name)
        return late

    def to_ask(self, peer: str, *, is_cut_off: bool) -> list[int]:
        """Chunks to ask of a peer now, in an order of this node's own so that nodes do not all ask for the same.

        Args:
            peer: of which; one with a strike is asked only if there is no other way.
            is_cut_off: the WAN does not answer.
        """
        known = self._peers.get(peer)
        if known is None or known.strikes >= (STRIKES if is_cut_off else 1):
            return []
        under_way = {index for other in self._peers.values() for index in other.asked} | set(self._loading)
        free = [index for index in self._missing if known.holds(index) and index not in under_way]
        free.sort(key=lambda index: _draw(self._me, self._artifact, index))
        return free[: max(MOST_ASKED - len(known.asked), 0)]

    def to_load(self, now: float, *, gives: bool = True) -> int | None:
        """The chunk to fetch over the WAN now, if there is one for this node.

        Args:
            now: the time, seconds.
            gives: peers take what this node has; else it fetches only what nobody else does, as it does while none of
                them has confirmed what it fetched last.
        """
        good = {name: peer for name, peer in self._peers.items() if peer.strikes == 0}
        asked = {index for peer in self._peers.values() for index in peer.asked}
        rivals = [name for name, peer in good.items() if peer.wants]
        free = [
            index
            for index in self._missing - asked - set(self._loading)
            if not any(peer.holds(index) for peer in good.values()) and not self._is_left_to_others(index, good, now)
        ]
        gives = gives and len(self._unconfirmed) <= UNCONFIRMED
        able = [self._me, *rivals] if gives or not rivals else rivals
        owner = {index: max(able, key=lambda who: _draw(who, self._artifact, index)) for index in free}
        self._free_since = {index: self._free_since.get(index, now) for index in free}
        mine = [index for index in free if owner[index] == self._me]
        backlog = Counter(owner.values())
        busy = {name for name in backlog if name != self._me and self._claimed(good[name], now)}
        helped = {name for name in busy if gives and backlog[name] > BACKLOG}
        taken_over = [
            i for i in free if owner[i] in helped or (owner[i] not in busy and now - self._free_since[i] > GRACE_S)
        ]
        # In an order of this node's own: nodes that do not know each other yet must not begin with the same chunk.
        return max(mine or taken_over, key=lambda index: _draw(self._me, self._artifact, index), default=None)

    def _is_left_to_others(self, index: int, good: dict[str, _Peer], now: float) -> bool:
        """Whether a peer is fetching this chunk.

        After a while one node after the other tries for itself: a claim may be a lie, or that peer's line a bad one.
        """
        since = [peer.claims[index].since for peer in good.values() if index in self._claimed(peer, now)]
        if not since:
            return False
        mine = _draw(self._me, self._artifact, index)
        before = [
            n for n, p in good.items() if p.wants and index not in p.claims and _draw(n, self._artifact, index) > mine
        ]
        return now - max(since) < max(CLAIM_S, PATIENCE * self._own_s) * (1 + len(before))

    def _claimed(self, peer: _Peer, now: float) -> set[int]:
        return {i for i, claim in peer.claims.items() if i in self._missing and now - claim.moved < CLAIM_S}

    def _known(self, peer: str) -> _Peer:
        return self._peers.setdefault(peer, _Peer())


@lru_cache(100_000)
def _draw(who: str, artifact: str, index: int) -> bytes:
    """A node's lot for a chunk."""
    return hashlib.sha256(f"{who}:{artifact}:{index}".encode()).digest()

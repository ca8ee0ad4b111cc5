"""The phrases that entries share, as the preset dictionary of the replica's compression.

``replica_dictionary.bin`` belongs to format 1 of the replica and never changes; another dictionary is another format.
``train`` made it from the seed: ``python -m disease_kb.replica_dictionary OUT``.
"""

from __future__ import annotations

import heapq
import re
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from disease_kb.document import canonical_json
from disease_kb.model import Entry

WINDOW_BYTES = 32_000  # deflate looks back 32,768
_CLAUSE = re.compile(r"(?<=[.;,。；，])\s*")


@cache
def dictionary() -> bytes:
    """Return the dictionary of replica format 1."""
    return resources.files("disease_kb").joinpath("replica_dictionary.bin").read_bytes()


def train(entries: Iterable[Entry]) -> bytes:
    """Choose the clauses that share most with other entries, best last, since near matches cost the fewest bits."""
    entries = sorted(entries, key=lambda entry: entry.id)
    frame = canonical_json(entries[0])[-4_000:]
    shared: Counter[str] = Counter()
    clauses: list[str] = []
    for entry in entries:
        own = [c for t in entry.texts for side in (t.en, t.zh) for c in _CLAUSE.split(side) if len(c) > 3]
        shared.update({shingle for clause in own for shingle in _shingles(clause)})
        clauses += own
    chosen = _cover(list(dict.fromkeys(clauses)), shared, WINDOW_BYTES - len(frame.encode()))
    english = " ".join(clause for clause in reversed(chosen) if clause.isascii())
    chinese = "".join(clause for clause in reversed(chosen) if not clause.isascii())
    data = (english + chinese + frame).encode()[-WINDOW_BYTES:]
    return data.decode(errors="ignore").encode()


def _cover(clauses: list[str], shared: Counter[str], size: int) -> list[str]:
    """Take the clauses with the most not yet covered shared shingles a byte, greedily, up to ``size`` bytes."""
    covered: set[str] = set()
    chosen: list[str] = []

    def worth(clause: str) -> float:
        fresh = (shared[shingle] - 1 for shingle in _shingles(clause) if shingle not in covered)
        return sum(fresh) / (len(clause.encode()) + 4)

    waiting = [(-worth(clause), clause) for clause in clauses]
    heapq.heapify(waiting)
    while waiting and size > 0:
        claimed, clause = heapq.heappop(waiting)
        now = worth(clause)
        if now < -claimed:  # others have covered part of it since: it goes back with its present worth
            if now > 0:
                heapq.heappush(waiting, (-now, clause))
            continue
        covered |= _shingles(clause)
        chosen.append(clause)
        size -= len(clause.encode()) + 1
    return chosen


def _shingles(clause: str) -> set[str]:
    length = 6 if clause.isascii() else 3
    return {clause[i : i + length] for i in range(len(clause) - length + 1)}


if __name__ == "__main__":
    from disease_kb.seeding import seed_entries

    Path(sys.argv[1]).write_bytes(train(seed_entries()))

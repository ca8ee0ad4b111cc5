"""A program that saves results and words on them and says so on stdout, until it is killed: ``HOME FIRST [POINT]``.

With a point (see ``killing``) it kills itself there.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from edge_node.bootstrap import Edge
from tests.edge_node.support.killing import arm
from tests.edge_node.support.results import result

TOGETHER = 3


async def main(home: Path, first: int) -> None:
    async with Edge(home).history(create=True) as history:
        for number in itertools.count(first, TOGETHER):
            kept = await history.save([result(number + k) for k in range(TOGETHER)])
            say("saved", *(k["id"] for k in kept))
            await history.confirm(kept[0]["id"], "uninfected")
            say("confirmed", kept[0]["id"])


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[3:]:
        arm(sys.argv[3])
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

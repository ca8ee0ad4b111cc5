"""The same ClientApp for Flower's own SuperNode: a site's features stand in one NumPy file that the node's configuration names.

It holds the arrays ``features``, ``labels`` (numbers), ``names`` and ``groups``; start with ``--node-config 'data="site.npz"'``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flwr.app import Context

from edge_node.errors import EdgeError
from edge_node.federation.client_app import make_app
from edge_node.federation.images import LabelledFeatures, held_out
from protocols.federation.task import Subject


@dataclass(frozen=True)
class FileSite:
    """A site's features in a file."""

    path: Path

    def features(self, subject: Subject) -> LabelledFeatures:
        """All of them.

        Raises:
            EdgeError: ``federation.no_images``.
        """
        try:
            with np.load(self.path, allow_pickle=False) as found:
                return LabelledFeatures(
                    found["features"].astype(np.float32),
                    tuple(str(n) for n in found["names"]),
                    found["labels"].astype(np.int64),
                    held_out(found["groups"]),
                )
        except (OSError, KeyError, ValueError) as error:
            raise EdgeError("federation.no_images") from error


def _site(context: Context) -> FileSite:
    return FileSite(Path(str(context.node_config["data"])))


app = make_app(_site, np.random.default_rng())

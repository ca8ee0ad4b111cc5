"""Puts the node together: the only package that names concrete classes. Heavy ones are imported when first needed."""

from edge_node.bootstrap.edge import Edge
from edge_node.bootstrap.parts import LocalCache, Online, utc_now

__all__ = ["Edge", "LocalCache", "Online", "utc_now"]

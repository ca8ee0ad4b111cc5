"""Reading entries from files: the native format, CSV, OBO ontologies and replicas."""

from disease_kb.importers.source import Incoming, read_source

__all__ = ["Incoming", "read_source"]

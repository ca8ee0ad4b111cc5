"""Who did what: a hash-chained, append-only record of every act, written in the act's own transaction."""

from coordinator.audit.actor import Actor
from coordinator.audit.log import record

__all__ = ["Actor", "record"]

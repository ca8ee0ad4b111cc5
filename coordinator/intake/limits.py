"""What one import may ask of the coordinator; part of its settings (``[intake]`` in ``config.toml``)."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.imaging import MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """Units stand in the names."""

    max_entries: int = 200_000  # files in a set
    max_entry_mb: int = 268  # one file, unpacked
    max_total_mb: int = 20_000  # all files, unpacked
    max_ratio: int = 200  # images hardly compress; a higher ratio is a bomb
    max_megapixels: int = MAX_PIXELS // 1_000_000  # a picture; a node reads no larger one
    max_metadata_kb: int = 8_000  # EXIF, colour profiles and texts of one picture
    worker_memory_mb: int = 1_000  # of the process that decodes; beyond it the picture is rejected

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: a limit is no positive whole number, or above what nodes can read.
        """
        values = vars(self).values()
        if not all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in values):
            raise ValueError("limits are positive whole numbers")
        if self.max_megapixels > MAX_PIXELS // 1_000_000:
            raise ValueError("max_megapixels is above what nodes read")

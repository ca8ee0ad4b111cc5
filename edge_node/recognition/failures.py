"""Pictures that could not be read: each is named, the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_node.errors import EdgeError
from protocols.errors import KINDS, Language, MedMeshError


class ImageFileError(EdgeError):
    """A failure of one file: the code and remedy of its cause, the sentence with the file's name."""

    def __init__(self, file: Path, cause: MedMeshError) -> None:
        super().__init__(cause.code, **cause.details)
        self.file = file

    def message(self, language: Language = "en") -> str:
        """The cause's sentence after the file's name."""
        sentence = super().message(language)
        return sentence if str(self.file) in sentence else f"{self.file}: {sentence}"


def of_file(file: Path, error: MedMeshError | OSError) -> ImageFileError:
    """Name the file in a failure to read it."""
    if isinstance(error, MedMeshError):
        return ImageFileError(file, error)
    if isinstance(error, FileNotFoundError):
        return ImageFileError(file, EdgeError("file.not_found", path=file))
    return ImageFileError(file, EdgeError("edge.image_unreadable", problem=error.strerror or type(error).__name__))


def deciding(failures: Sequence[ImageFileError]) -> ImageFileError:
    """The failure that gives the command's exit code: bad input before anything else."""
    bad = [failure for failure in failures if failure.kind is KINDS["bad_input"]]
    return (bad or list(failures))[-1]

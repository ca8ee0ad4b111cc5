"""The two containers of Keras models, opened in the sandbox without TensorFlow: a zip of three files, and HDF5."""

from __future__ import annotations

import zipfile
from typing import Any

import h5py
import numpy as np

from coordinator.errors import CoordinatorError
from coordinator.vetting import keras_file, rooms

_WEIGHTS = "model.weights.h5"
_MEMBERS = {"metadata.json", "config.json", _WEIGHTS}
_MAX_OBJECTS, _MAX_ATTRIBUTES = 20_000, 2_000
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


def inspect(arguments: dict[str, Any]) -> dict[str, int]:
    """Refuse a file that Keras must not see; count its parameters.

    Args:
        arguments: ``kind`` (``keras`` or ``h5``), ``limit`` (bytes).

    Raises:
        CoordinatorError: ``vetting.damaged``, ``vetting.external``, ``vetting.over_limit``, and as ``keras_file.check``.
    """
    try:
        if arguments["kind"] == "keras":
            with zipfile.ZipFile(rooms.MODEL) as archive:
                config = _member(archive, "config.json", keras_file.MAX_CONFIG_BYTES)
                _check_members(archive, arguments["limit"])
                with archive.open(_WEIGHTS) as stored, h5py.File(stored, "r") as file:
                    shapes = _shapes(file)
        else:
            with h5py.File(rooms.MODEL, "r") as file:
                shapes = _shapes(file)
                config = _configuration(file)
    except (
        zipfile.BadZipFile,
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        NotImplementedError,
        EOFError,
    ) as error:
        raise CoordinatorError("vetting.damaged", what="container") from error
    keras_file.check(config, shapes)
    return {"parameters": sum(int(np.prod(shape, dtype=object)) for shape in shapes)}


def _check_members(archive: zipfile.ZipFile, limit: int) -> None:
    found = archive.infolist()
    names = [member.filename for member in found]
    if set(names) != _MEMBERS or len(names) != len(_MEMBERS):
        raise CoordinatorError("vetting.external", what="a zip that holds other files than a Keras model's three")
    for member in found:
        if member.file_size > limit or member.flag_bits & 1 or member.compress_type not in (0, 8):
            raise CoordinatorError(
                "vetting.over_limit", what="bytes of a packed file", found=member.file_size, limit=limit
            )


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    with archive.open(name) as stored:
        return stored.read(most + 1)


def _configuration(file: h5py.File) -> bytes:
    found = file.attrs.get("model_config")
    if isinstance(found, bytes):
        return found
    if isinstance(found, str):
        return found.encode("utf-8")
    raise CoordinatorError("vetting.damaged", what="no configuration; only weights were saved")


def _shapes(file: h5py.File) -> list[tuple[int, ...]]:
    """Shapes of all arrays; nothing is followed out of the file, and nothing twice."""
    shapes: list[tuple[int, ...]] = []
    waiting: list[Any] = [file]
    seen: set[int] = set()
    while waiting:
        group = waiting.pop()
        _check_attributes(group)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise CoordinatorError("vetting.external", what="a link in HDF5")
            item = group[name]
            where = h5py.h5o.get_info(item.id).addr
            if where in seen or len(seen) > _MAX_OBJECTS:
                raise CoordinatorError("vetting.damaged", what="HDF5 objects in a circle, or too many")
            seen.add(where)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                shapes.append(_array(item))
            else:
                raise CoordinatorError("vetting.external", what="an HDF5 object that is no array")
    return shapes


def _check_attributes(item: Any) -> None:
    if len(item.attrs) > _MAX_ATTRIBUTES:
        raise CoordinatorError("vetting.damaged", what="HDF5 attributes")
    for name in item.attrs:
        kind = item.attrs.get_id(name).dtype
        if h5py.check_ref_dtype(kind) is not None or kind.kind == "V":
            raise CoordinatorError("vetting.external", what="a reference in HDF5")


def _array(item: h5py.Dataset) -> tuple[int, ...]:
    _check_attributes(item)
    properties = item.id.get_create_plist()
    if (
        item.is_virtual
        or item.external
        or any(properties.get_filter(i)[0] not in _FILTERS for i in range(properties.get_nfilters()))
    ):
        raise CoordinatorError("vetting.external", what="an HDF5 array that lies elsewhere or is packed in its own way")
    is_seed = item.dtype.kind in "iu" and item.size <= 16
    if item.dtype.kind != "f" and not is_seed:
        raise CoordinatorError("vetting.external", what=f"an HDF5 array of type {item.dtype.kind}")
    return tuple(int(side) for side in item.shape)

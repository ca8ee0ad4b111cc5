"""DICOM files made by pydicom, with a header that must not get out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SECRETS = ("Zhang", "PID-4711", "19610203", "Kreiskrankenhaus")
PICTURE = "1.2.840.10008.5.1.4.1.1.7"  # secondary capture


def grey(rows: int = 40, columns: int = 60, most: int = 4000) -> NDArray[np.uint16]:
    """Levels that rise from left to right."""
    return np.tile(np.linspace(0, most, columns).astype(np.uint16), (rows, 1))


def dicom_file(
    path: Path,
    pixels: NDArray[Any] | None = None,
    interpretation: str = "MONOCHROME2",
    *,
    sop_class: str = PICTURE,
    **elements: Any,
) -> Path:
    """Write pixels [rows, columns], with frames before and samples after them; further elements by keyword, None: left out."""
    pydicom = pytest.importorskip("pydicom", reason="the dicom extra is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset

    pixels = grey() if pixels is None else pixels
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, "1.2.3"
    dataset.PatientName, dataset.PatientID = f"{SECRETS[0]}^San", SECRETS[1]
    dataset.PatientBirthDate, dataset.InstitutionName = SECRETS[2], SECRETS[3]
    samples = 1 if interpretation.startswith(("MONO", "PALETTE")) else 3
    *frames, rows, columns = pixels.shape[:-1] if samples == 3 else pixels.shape
    bits = 8 * pixels.dtype.itemsize
    standard: dict[str, Any] = {
        "Rows": rows,
        "Columns": columns,
        "NumberOfFrames": frames[0] if frames else None,
        "BitsAllocated": bits,
        "BitsStored": 12 if bits == 16 else bits,
        "HighBit": 11 if bits == 16 else bits - 1,
        "SamplesPerPixel": samples,
        "PlanarConfiguration": 0 if samples == 3 else None,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": interpretation,
        "PixelData": pixels.tobytes(),
    }
    for keyword, value in {**standard, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path

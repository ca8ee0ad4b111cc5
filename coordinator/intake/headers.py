"""What an import reads of a DICOM header: who must not be told apart by name, and whether text may be burnt in."""

from __future__ import annotations

import hashlib
import hmac
import warnings
from dataclasses import dataclass
from pathlib import Path

from protocols.imaging import ImageError

_WANTED = ["PatientID", "SOPClassUID", "Modality", "BurnedInAnnotation", "RecognizableVisualFeatures"]
# Storage classes (DICOM PS3.4, table B.5-1, and retired ones) whose pixels usually carry text of the device.
_ULTRASOUND = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("3", "3.1", "6", "6.1", "6.2", "6.3"))
_CAPTURE = tuple(f"1.2.840.10008.5.1.4.1.1.{n}" for n in ("7", "7.1", "7.2", "7.3", "7.4"))


@dataclass(frozen=True)
class Header:
    """What is kept of a header: nothing that names a person.

    Attributes:
        patient: a keyed hash of PatientID; empty where there is none.
        doubt: ultrasound, secondary_capture, burned_in or face, where a person has to look first; else empty.
    """

    patient: str
    doubt: str


def read(path: Path, salt: bytes) -> Header:
    """Read a DICOM file's header.

    Raises:
        ImageError: ``image.dicom_missing`` or ``image.dicom_unreadable``.
        OSError: the file cannot be read.
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImageError("image.dicom_missing") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_WANTED))
            values = {name: str(found.get(name) or "").strip() for name in _WANTED}
        except Exception as error:  # pydicom raises what it likes for damaged files
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ImageError("image.dicom_unreadable") from None
    return Header(pseudonym(values["PatientID"], salt), _doubt(values))


def pseudonym(patient_id: str, salt: bytes) -> str:
    """What stands for a patient: HMAC-SHA-256 with the site's salt, 32 digits; empty for an empty id."""
    return hmac.new(salt, patient_id.encode(), hashlib.sha256).hexdigest()[:32] if patient_id else ""


def _doubt(values: dict[str, str]) -> str:
    if values["BurnedInAnnotation"].upper() == "YES":
        return "burned_in"
    if values["RecognizableVisualFeatures"].upper() == "YES":
        return "face"
    if values["SOPClassUID"] in _ULTRASOUND or values["Modality"].upper() in ("US", "IVUS"):
        return "ultrasound"
    # What a header says of its own pixels is often the device's default, so that NO lets no capture through.
    return "secondary_capture" if values["SOPClassUID"] in _CAPTURE else ""

"""What a model version must pass before people are asked to approve it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.training.trunks import Second
from protocols.manifest import ReleaseManifest
from protocols.origin import KEY
from protocols.recognition import same_answer


@dataclass(frozen=True)
class Gate:
    """One check with its finding."""

    name: str
    ok: bool
    detail: str

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"name": self.name, "ok": self.ok, "detail": self.detail}


def labels_mapped(manifest: ReleaseManifest, reason: str | None) -> Gate:
    """Every label opens a page of the knowledge base, says that it is normal, or the manager says why not."""
    missing = [x.label for x in manifest.labels if x.entry is None and x.kind not in ("normal",)]
    if not missing:
        return Gate("labels_mapped", True, "every label has an entry")
    shown = ", ".join(missing)
    if reason:
        return Gate("labels_mapped", True, f"without an entry: {shown}; allowed because: {reason}")
    return Gate(
        "labels_mapped",
        False,
        f"without an entry: {shown}; map them with dataset label --entry ID, or say why not with --allow-unmapped",
    )


def retested(manifest: ReleaseManifest, training: dict[str, Any], revoked: str | None) -> Gate:
    """A release of another network was measured on data here, and its origin stands by it.

    Args:
        manifest: of the model.
        training: what taking it over recorded.
        revoked: what its origin said when it revoked it; None: it did not.
    """
    found = training.get(KEY)
    if found is None:
        return Gate("retested", True, "made here")
    if revoked is not None:
        return Gate("retested", False, f"{found['network']} has revoked {found['release']}: {revoked}")
    name, measured = f"{found['release']} of {found['network']}", found["evaluation"]
    if measured is None:
        mend = f"medmesh-coordinator upstream pull {found['release']} --on DATA"
        return Gate("retested", False, f"{name} was not measured on data of this network; {mend}")
    shown = _figure(measured["balanced_accuracy"]["value"])
    signed = ", ".join(found["approvers"])
    groups = f"{measured['n']} images of {measured['groups']} groups"
    return Gate("retested", True, f"{name}, signed there by {signed}: {shown} balanced accuracy here on {groups}")


def is_taken_over(training: dict[str, Any]) -> bool:
    """Whether another network made the version."""
    return KEY in training


def parity(manifest: ReleaseManifest, training: dict[str, Any]) -> Gate:
    """The released head answers like its float reference; the figures are training's, for exactly this head."""
    if is_taken_over(training):
        return Gate("parity", True, "the origin's own gate; the float head is not here")
    found = training.get("parity")
    heads = [a.sha256 for a in manifest.artifacts if a.role == "head"]
    if found is None:
        return Gate(
            "parity", not heads, "no head of ours" if not heads else "no comparison with the float head is on record"
        )
    classes = ", ".join(f"{label} {share:.2%}" for label, share in found["per_class"].items())
    detail = (
        f"same label as the float head for {found['agreement']:.2%} of the training images ({classes}); "
        f"99 of 100 scores within {found['score_difference']:.4f}"
    )
    return Gate("parity", bool(found["ok"]) and heads == [found["head"]], detail)


def vetted(manifest: ReleaseManifest, training: dict[str, Any]) -> Gate:
    """A model that was brought ready-trained is exactly the file that the sandbox let through."""
    found = training.get("vetting")
    if is_taken_over(training):
        same = found is not None and list(dict.fromkeys(s.sha256 for s in manifest.stages)) == found["stages"]
        return Gate(
            "vetted", same, "the origin's files, tried in the sandbox" if same else "other files than were vetted"
        )
    if manifest.backbone is not None:
        return Gate("vetted", True, "not brought: trained here")
    if found is None or [s.sha256 for s in manifest.stages] != [found["stage"]]:
        return Gate(
            "vetted",
            False,
            "no vetting of this file is on record; import it again with medmesh-coordinator model import",
        )
    missing = [f"{name} ({state})" for name, state in found["sandbox"].items() if state != "on"]
    detail = f"operators on the list, tried in the sandbox; brought as {found['kind']} {found['sha256']}"
    return Gate("vetted", True, detail + (f"; protections not in force: {', '.join(missing)}" if missing else ""))


def calibrated(manifest: ReleaseManifest) -> Gate:
    """Whether sets and scores rest on images; a brought model may go out without, since it then answers ``unsure`` alone."""
    if manifest.calibration.coverage < 1:
        return Gate("calibrated", True, f"prediction sets for a coverage of {manifest.calibration.coverage:.0%}")
    return Gate("calibrated", True, "does not apply: not calibrated, so every answer is unsure; see recalibrate")


def trunk_of(manifest: ReleaseManifest) -> str | None:
    """Digest of the trunk that was made here from a backbone; None for a model that has none, was brought ready-trained, or
    comes from another network, which converts its own trunks twice.
    """
    if manifest.backbone is None or KEY in manifest.data:
        return None
    return next((a.sha256 for a in manifest.artifacts if a.role == "trunk"), None)


def converted_twice(manifest: ReleaseManifest, second: Second | None) -> Gate:
    """Converting the trunk a second time gives the same bytes.

    Args:
        manifest: of the model; its head was converted twice when it was trained.
        second: what the second conversion gave; None: this trunk has come out the same before.
    """
    trunk = trunk_of(manifest)
    if trunk is None or manifest.backbone is None:
        return Gate("converted_twice", True, "no trunk of ours")
    if second is None or second.trunk == trunk:
        return Gate("converted_twice", True, f"two conversions gave the same trunk {trunk}")
    if second.obstacle:
        return Gate("converted_twice", False, f"the trunk cannot be converted a second time: {second.obstacle}")
    detail = f"a second conversion gave the trunk {second.trunk} instead of {trunk}"
    if second.weights != manifest.backbone.weights_sha256:
        detail += f", from the weights {second.weights} instead of {manifest.backbone.weights_sha256}"
    source = "file:PATH" if manifest.backbone.id.startswith("file:") else manifest.backbone.id
    mend = f"convert it anew with medmesh-coordinator backbone fetch {source}, then train again"
    return Gate("converted_twice", False, f"{detail}; {mend}")


def best_site(manifest: ReleaseManifest, reason: str | None) -> Gate:
    """A federated head is at least as good as the best head that one site made alone, or the manager says why it goes out."""
    found = manifest.data.get("federated")
    if found is None:
        return Gate("best_site", True, "not federated")
    if personal := found.get("personal"):
        shown = f"one site's own head: {_figure(personal['own'])} there, the shared one {_figure(personal['global'])}"
        return Gate("best_site", True, f"{shown}; for that site's nodes only")
    own, best = found["global"].get("mean"), found["best_single_site_mean"]
    shown = (
        f"together {_figure(own)}, best site alone {_figure(best)}, start {_figure(found['start_mean'])} balanced accuracy on "
        f"what {found['global'].get('sites') or 0} sites held out"
    )
    if found["against_best_site"] == "better":
        return Gate("best_site", True, shown)
    if reason:
        return Gate("best_site", True, f"{shown}; allowed because: {reason}")
    return Gate("best_site", False, f"{shown}; say why it is released all the same with --accept-worse")


def notes(text: str, earlier: str | None) -> Gate:
    """Release notes say what changes for those who have the release before.

    Args:
        text: the notes.
        earlier: those of the last release that nodes were offered; None: there was none.
    """
    if earlier is None:
        return Gate("notes", True, text.strip() or "the first release of this model needs none")
    if sum(c.isalpha() for c in text) < _LEAST_NOTES:
        return Gate("notes", False, "say what changes for those who have the release before, with --notes")
    if text.strip() == earlier.strip():
        return Gate("notes", False, "the notes are those of the release before; say what changes, with --notes")
    return Gate("notes", True, text.strip())


_LEAST_NOTES = 4  # letters: a word, or two of Chinese


def card_complete(manifest: ReleaseManifest) -> Gate:
    """The card can say what the model is for, what it was made of and how good it is, or that this is not known."""
    missing = [label.label for label in manifest.labels if not label.label.strip()]
    wanted: dict[str, Any] = {"its origin": manifest.data}
    if manifest.backbone is not None:
        wanted |= {
            "the training data's name": manifest.data.get("dataset"),
            "the number of images": manifest.data.get("images"),
            "the number of groups": manifest.data.get("groups"),
            "balanced accuracy on unseen groups": manifest.metrics.get("balanced_accuracy"),
            "the backbone's source": manifest.backbone.source,
            "the backbone's licence": manifest.backbone.licence,
        }
    missing += [name for name, value in wanted.items() if not value]
    if missing:
        return Gate("card_complete", False, f"the card lacks {', '.join(missing)}; make the version anew")
    return Gate("card_complete", True, "the card states origin, data, figures and licence")


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def self_test(manifest: ReleaseManifest, got: NDArray[np.float64]) -> Gate:
    """The released files still give the scores that training recorded."""
    ok = same_answer(np.array(manifest.golden.scores), got)
    return Gate("self_test", ok, "golden pictures give the recorded scores" if ok else "golden pictures differ")

"""The card under the field names of a MONAI bundle's ``metadata.json``, for tools that read those.

Names and meanings: https://docs.monai.io/en/stable/mb_specification.html. This is no bundle: there is no PyTorch model, so
the versions of MONAI and PyTorch, which a bundle must state, are left out.
"""

from __future__ import annotations

from typing import Any

from coordinator.releases.cards import brought, texts
from coordinator.releases.cards.facts import CardFacts, headline
from coordinator.reports.document import Paragraph
from protocols.notice import NOTICE


def metadata(facts: CardFacts) -> dict[str, Any]:
    """The JSON document."""
    manifest = facts.manifest
    labels = [x.label for x in manifest.labels]
    spec = manifest.input
    backbone = manifest.backbone
    uses = [block.content for block in texts.use(manifest).blocks if isinstance(block, Paragraph)]
    found = headline(manifest)
    measured = {
        "balanced_accuracy": found and found.value,
        "balanced_accuracy_low": found and found.low,
        "balanced_accuracy_high": found and found.high,
        "auc_macro": manifest.metrics.get("auc_macro"),
        "expected_calibration_error": manifest.metrics.get("ece"),
    }
    said = brought.facts_of(manifest)
    method, licence = texts.method(facts.training), "not on record"
    source = f"data set {manifest.data.get('dataset', 'not on record')} of {facts.maker}"
    meaning = "a calibrated score for each label; they sum to 1"
    if backbone is not None:
        licence = f"not on record; backbone weights: {backbone.licence}"
    if said is not None:
        method, licence, source = (
            brought.METHOD,
            str(said["licence"]),
            f"not on record; the model is from {said['source']}",
        )
        if manifest.calibration.coverage >= 1:
            meaning = "a score for each label, not calibrated; they sum to 1"
    return {
        "version": str(manifest.version),
        "changelog": {str(v.number): v.notes or f"made {v.created}" for v in facts.versions},
        "task": f"Classification of images: {', '.join(labels)}",
        "description": f"{manifest.name}, disease {manifest.disease}. {method.en} {NOTICE['en']}",
        "authors": facts.maker,
        "copyright": licence,
        "data_source": source,
        "data_type": "photographs or other images, RGB, one label each",
        "image_classes": f"three channels, last axis, {spec.value_range[0]:g} to {spec.value_range[1]:g}",
        "label_classes": "one of: " + ", ".join(f"{i} {label}" for i, label in enumerate(labels)),
        "pred_classes": meaning,
        "eval_metrics": {name: value for name, value in measured.items() if value is not None},
        "intended_use": " ".join(use if isinstance(use, str) else use.en for use in uses),
        "references": [item for block in texts.REFERENCES.blocks for item in getattr(block, "items", ())],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "n/a",
                    "num_channels": 3,
                    "spatial_shape": [spec.edge_px, spec.edge_px],
                    "dtype": "float32",
                    "value_range": list(spec.value_range),
                    "is_patch_data": False,
                    "channel_def": {"0": "red", "1": "green", "2": "blue"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(labels),
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {str(i): label for i, label in enumerate(labels)},
                }
            },
        },
    }

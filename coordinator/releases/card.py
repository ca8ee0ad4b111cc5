"""The model card: what a person must know before trusting a model. Markdown, from the manifest and training's figures."""

from __future__ import annotations

from typing import Any

from protocols.console import NOTICE
from protocols.manifest import ReleaseManifest


def card(manifest: ReleaseManifest, training: dict[str, Any]) -> str:
    """Render the card."""
    figure = manifest.metrics["balanced_accuracy"]
    backbone = manifest.backbone
    lines = [
        f"# {manifest.name}",
        "",
        f"**{NOTICE['en']}**",
        f"**{NOTICE['zh']}**",
        "",
        f"* Disease: {manifest.disease}",
        f"* Made: {manifest.created}",
        f"* Data: {manifest.data['images']} images of {manifest.data['groups']} groups (data set {manifest.data['dataset']})",
    ]
    if backbone is not None:
        lines.append(
            f"* Backbone: {backbone.id}, weights {backbone.weights_sha256[:12]}; {backbone.source}; {backbone.licence}"
        )
        if backbone.id.startswith("random-"):
            lines.append("* **The backbone is random: this model tests wiring and recognises nothing.**")
    if manifest.unmapped_reason:
        lines.append(f"* Labels without a knowledge base entry were allowed: {manifest.unmapped_reason}")
    lines += [
        "",
        "## Figures",
        "",
        f"{manifest.metrics['method']}. Balanced accuracy **{figure['value']:.3f}** "
        f"(95 % interval {figure['low']:.3f} to {figure['high']:.3f}), macro AUC {manifest.metrics['auc_macro']:.3f}, "
        f"expected calibration error {manifest.metrics['ece']:.3f}.",
        "",
        "| class | entry | sensitivity | specificity | n |",
        "|---|---|---|---|---|",
    ]
    for label in manifest.labels:
        row = manifest.metrics["per_class"][label.label]
        lines.append(
            f"| {label.label} | {label.entry or label.kind} | {row['sensitivity']} | {row['specificity']} | {row['n']} |"
        )
    lines += ["", "## Rungs", "", "| rung | balanced accuracy | 95 % interval | head bytes |", "|---|---|---|---|"]
    lines += [
        f"| {r['name']} | {r['balanced_accuracy']:.3f} | {r['low']:.3f} to {r['high']:.3f} | {r['bytes']} |"
        for r in training["rungs"]
    ]
    lines += ["", f"Chosen taps: {', '.join(training['taps'])}; head weights {training['head_weights']}.", ""]
    return "\n".join(lines)

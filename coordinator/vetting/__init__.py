"""Models that were trained elsewhere: described, checked unrun, tried in a sandbox, standardised. See docs/model-import.md."""

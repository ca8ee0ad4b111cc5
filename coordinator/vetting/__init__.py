"""Models that were trained elsewhere: described, checked without running, tried in a sandbox, standardised. See docs/model-import.md."""

"""The coordinator's HTTPS side."""

"""Fetching artifacts from whichever source has them."""

"""Fetching: the coordinator's list of releases, and artifacts from whichever source has them."""

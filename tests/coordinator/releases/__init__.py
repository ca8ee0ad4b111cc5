"""Releases: stages, decisions, the keeper of rollouts."""

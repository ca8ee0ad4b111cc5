"""Alembic's migrations of the coordinator's tables."""

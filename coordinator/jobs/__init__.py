"""Imports and trainings that wait for their turn and survive restarts."""

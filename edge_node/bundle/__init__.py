"""Sticks: a list with its releases carried to nodes without a line, and their results carried back."""

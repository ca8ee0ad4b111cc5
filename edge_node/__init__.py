"""The edge node: finds, fetches, verifies and runs models in a clinic, online or not."""

__all__ = ["PROGRAM", "VERSION"]

VERSION = "0.1.0"  # a test holds it equal to pyproject.toml; reading package metadata would cost start-up time
PROGRAM = f"medmesh-edge/{VERSION}"

"""Bringing a release into use: fetch, check, self-test on this machine, switch."""

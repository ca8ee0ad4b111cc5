"""Recognising a picture with the installed models and saying what the answer means."""

"""The app's ports on the real services of the node. Everything runs on the worker, nothing on the screen's thread."""

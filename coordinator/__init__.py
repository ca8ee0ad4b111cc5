"""The coordinator: training, releases, federation and the gateway that nodes talk to."""

"""The history of results on this node, encrypted, and what of it waits to be sent to the coordinator."""

"""Links to other nodes, over which chunks of artifacts go both ways. Peers can withhold, never deceive."""

"""What the coordinator's people have signed, and what this node makes of it: TUF below, the node's own record above."""

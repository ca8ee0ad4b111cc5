"""What the node keeps: artifacts by digest, and which releases are installed."""

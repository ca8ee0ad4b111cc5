"""Who this node is and which one coordinator it trusts."""

"""Who may do what over the network."""

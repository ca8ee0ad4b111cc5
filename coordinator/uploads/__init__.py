"""Training sets and models that arrive over the network, in parts."""

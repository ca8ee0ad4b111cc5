"""Federated refinement of a head: what is exchanged, and what is believed of it. Plain NumPy, no I/O."""

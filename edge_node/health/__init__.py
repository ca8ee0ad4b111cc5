"""How the node stands, told to the coordinator: counted as things happen, collected, signed, sent."""

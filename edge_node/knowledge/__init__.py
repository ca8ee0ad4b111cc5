"""The disease knowledge base as a node uses it: the coordinator's when it answers, else the replica."""

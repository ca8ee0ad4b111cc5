"""Nodes: certificates, invites, the gateway that notifies them and the announcement on the local network."""

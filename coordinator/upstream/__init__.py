"""Another network's catalogue: verified against its own root, tested here, countersigned here."""

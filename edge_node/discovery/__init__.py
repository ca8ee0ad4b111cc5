"""Finding coordinators and peers on the local network. What is heard is a hint; trust comes from the pinned CA alone."""

"""Finding coordinators and peers on the local network. What is heard is a hint; only the pinned CA gives trust."""

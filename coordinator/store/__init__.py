"""What the coordinator remembers: rows in a database, files by digest in folders."""

"""What nodes report of their results: taken in once each, counted, exported."""

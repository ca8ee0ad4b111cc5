"""What happens to a photograph before and after recognition: where its subject is, and the copy that is kept of it."""

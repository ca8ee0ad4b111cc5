"""What nodes tell the coordinator about results, how it travels, and the forms in which both sides export it."""

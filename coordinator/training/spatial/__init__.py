"""Spatial heads: tiny convolutional heads on the frozen trunk's maps, trained from cached maps in a child process."""

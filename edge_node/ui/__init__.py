"""The clinic's app: a presenter without a display, and Kivy screens that show its state."""

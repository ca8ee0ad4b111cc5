"""The app without a display: decisions and state, testable as plain Python."""

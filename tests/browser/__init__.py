"""A real browser looks at the console."""

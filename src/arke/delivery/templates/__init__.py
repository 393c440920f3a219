"""Bodies that a destination writes itself: HTTP-format macros, or Jinja2 in a sandbox."""

"""The operations over HTTP: one typed table, and what follows from it."""

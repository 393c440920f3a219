"""What operators use: the admin API (and, later, the console's pages)."""

"""Servers that tests talk to: found, or installed, started, and stopped again."""

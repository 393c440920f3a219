"""Figures over time: a ring on disk of what every minute of 30 days was like."""

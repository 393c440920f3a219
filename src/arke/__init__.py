"""Arke: a self-hosted engine for real-time outbound audience transfers."""

__version__ = "0.1.0"

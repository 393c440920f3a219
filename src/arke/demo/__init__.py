"""`arke demo`: everything at once on this machine."""

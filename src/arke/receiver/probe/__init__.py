"""The conformance check of a destination's endpoint."""

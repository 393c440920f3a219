"""Realise traits, decide segments, note what changed. Pure: no clock, no I/O."""

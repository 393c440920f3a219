"""Arke and its peers through the same load, in turns: see `python -m peers --help` and docs/benchmarks.md.

One driver, and one small adapter for each contender: how it is started, where events are posted, how an event is
built, and which processes do its work. The load generator and the destination are processes of their own.
"""

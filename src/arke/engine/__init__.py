"""Shards, groups, identity and operations: the engine between intake and delivery."""

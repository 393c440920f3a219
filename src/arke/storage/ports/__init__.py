"""The storage seam: what a shard asks of its store, and the engine of its directory."""

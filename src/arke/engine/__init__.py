"""What runs in the process of the engine: identity, batches, privacy and operations, over all shards."""

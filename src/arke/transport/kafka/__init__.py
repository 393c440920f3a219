"""Kafka, and what speaks its protocol, as the log of a cluster: partition = shard, position = offset + 1."""

"""Nodes of a cluster ask each other: questions to shards wherever they are owned."""

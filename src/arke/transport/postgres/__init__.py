"""PostgreSQL as the log of a cluster, for those without Kafka; and leases on shards, for logs that assign none."""

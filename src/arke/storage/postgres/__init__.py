"""What is kept in PostgreSQL: shards and the directory of a cluster."""

"""What is done to a data directory as a whole: backups of it, their way back, another number of shards."""

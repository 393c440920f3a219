"""What runs in a shard's process: groups of commands, lanes, walks, and answers about what the shard holds."""

"""How the engine reaches its shards. Today: processes of this machine, over sockets."""

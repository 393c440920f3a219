"""One suite over the logs of a cluster."""

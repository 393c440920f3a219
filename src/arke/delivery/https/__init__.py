"""The thin HTTPS client: strict URLs, egress policy, one request per call within a hard deadline."""

"""Topics of others as sources of events: read like `/v1/events`, each message once."""

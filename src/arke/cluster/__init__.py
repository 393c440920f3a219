"""Many nodes over one PostgreSQL and one log of events."""

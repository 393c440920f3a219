"""A configuration of Audience Manager, as its REST API answers it, made a catalog; and what has no equivalent."""

"""Who is to hear what: routes, what sets a message off, and what each id is to be told. Pure: no clock, no I/O."""

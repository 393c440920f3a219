"""The embedded store: SQLite files, one writer each."""

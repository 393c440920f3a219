"""What operators ask of an engine, as data: the admin API, the commands and the console speak through this."""

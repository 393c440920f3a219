"""What operators ask of an engine, as data: admin API, commands and console speak through this."""

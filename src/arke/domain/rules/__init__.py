"""The two rule languages: traits over signals, segments over traits. Pure functions of their input."""

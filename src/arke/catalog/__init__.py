"""The catalog from file to validated data, its stored form, and the plan from one version to the next."""

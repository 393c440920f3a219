"""Files that say what people are: onboarding and id-sync files, CSV and Parquet, read as streams."""

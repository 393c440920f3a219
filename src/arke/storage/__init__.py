"""The storage seam and its adapters."""

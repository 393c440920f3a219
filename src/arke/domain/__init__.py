"""Data and pure rules: catalog, event, profile, change, ledger, message. No I/O."""

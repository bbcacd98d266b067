"""A study on disk: its ledger, its models, its progress."""

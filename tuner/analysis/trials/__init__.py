"""The trials of a study: read from ledgers and tables, written as one table."""

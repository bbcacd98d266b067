"""A speech corpus in TIMIT's layout, spoken by eSpeak NG."""

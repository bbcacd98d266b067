"""A speech corpus in TIMIT's layout that eSpeak NG speaks."""

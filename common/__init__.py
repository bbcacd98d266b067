"""What every package stands on: errors for people, the shell of a command, files, caches, media."""

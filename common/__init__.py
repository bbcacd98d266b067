"""Code shared by all packages: errors for users, command lines, files, caches, media."""

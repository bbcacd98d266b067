"""A regular package: Hershey-Fonts installs another one of this name, which must not be found."""

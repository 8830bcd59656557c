"""The logs, and what is kept beside them: the only layer that imports a database driver."""

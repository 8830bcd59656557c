"""The running system: the only layer that imports pykka."""

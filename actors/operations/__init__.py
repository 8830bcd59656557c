"""Operations as a host sees them: brackets, the tracker, queries, the watcher, and why something is stuck."""

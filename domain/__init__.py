"""What is true of long-running operations, without I/O, clock, randomness, threads or logging."""

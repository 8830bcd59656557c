"""User code at work: where it runs, what it has promised, how it says that it is alive, and what is asked when it is in doubt."""

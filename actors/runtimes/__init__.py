"""How actors get to run: one actor class, several runtimes."""

"""The log in one SQLite file: writing, reading, verifying, archiving. No other folder speaks SQL to a log."""

"""Archives: records that have left the live log, in sealed files that are read as if they had not."""

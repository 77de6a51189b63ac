"""What identifies a run, where its record lies and who executes it."""

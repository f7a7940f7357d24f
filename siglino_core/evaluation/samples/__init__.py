"""What a sample of a pool is worth: its balance, its duplicates and junk, and what is learned from it."""

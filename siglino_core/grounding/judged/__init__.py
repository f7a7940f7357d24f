"""What answers to expressions are worth: judged one by one, then as numbers with intervals, tables and a page."""

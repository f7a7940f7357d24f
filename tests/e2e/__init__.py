"""Whole runs as users start them: killed, starved, misled, deployed, and moved to an object store."""

"""Whole runs through the command line: killed, starved, misled and moved to an object store."""

"""End to end: the software as its users start it, in processes of its own."""

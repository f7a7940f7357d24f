"""Statistics: diversity, and how sure a mean is."""

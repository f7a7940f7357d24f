"""What the teachers said of the curated images: statistics, how dense targets are stored, and how they are read."""

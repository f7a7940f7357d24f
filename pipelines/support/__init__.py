"""What serves all stages: Ray, prices, progress, summaries."""

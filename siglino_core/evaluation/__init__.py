"""What a model's features are worth, and how they look."""

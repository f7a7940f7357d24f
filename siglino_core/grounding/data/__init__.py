"""Images with expressions and what they refer to: types, readers, and the synthetic set."""

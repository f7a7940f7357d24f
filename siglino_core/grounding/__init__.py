"""Finding what an expression refers to in an image: data, model, metrics."""

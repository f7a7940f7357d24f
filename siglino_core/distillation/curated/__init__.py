"""The curated images as training reads them: one or more samples, by byte ranges."""

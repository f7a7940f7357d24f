"""Images: decoding, patches, and why a file is no image."""

"""The early-fusion model: an image and an expression to the boxes and masks that it refers to, or to their absence."""

"""Labelled pools of real images, on which recipes for curation are judged (see `python -m scripts.pools --help`)."""

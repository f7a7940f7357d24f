"""Results of an evaluation: as they lie on disk, in tables, compared, gated, and on a page."""

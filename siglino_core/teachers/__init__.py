"""Teachers: frozen networks over packs of patches, whose features a student learns."""

"""Teachers: frozen networks over packs of patches, whose features a student learns; and the text sides of some."""

from siglino_core.teachers.text import TextTower, text_features, text_tower

__all__ = ["TextTower", "text_features", "text_tower"]

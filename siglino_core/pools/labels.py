"""Labels that folders give: the class is a folder on the way to the image, but not every folder is a class."""

import re

from siglino_core.config import LabelFolder

_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "holdout"}
_CONTAINERS = {"images", "image", "imgs", "img", "jpegs", "photos", "pictures", "data"}
_SHARD = re.compile(r"\d{5,}")  # img2dataset's folders: 00000, 00001, ...


def folder_label(name: str, rule: LabelFolder) -> str | None:
    """The label of an image by the folders of its name.

    ``first`` is the first folder, ``parent`` the last. ``auto`` is the first folder after a split's name (train, val,
    ...) and after folders that hold just images (images, data, ...); a number of five digits or more is a shard and
    no class.
    """
    folders = [f for f in name.split("/")[:-1] if f not in ("", ".")]
    if not folders or rule is LabelFolder.NONE:
        return None
    if rule is LabelFolder.FIRST:
        return folders[0]
    if rule is LabelFolder.PARENT:
        return folders[-1]
    splits = [i for i, f in enumerate(folders) if f.lower() in _SPLITS]
    folders = folders[splits[-1] + 1 :] if splits else folders
    while folders and folders[0].lower() in _CONTAINERS:
        folders = folders[1:]
    return folders[0] if folders and not _SHARD.fullmatch(folders[0]) else None

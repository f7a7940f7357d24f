"""Labels that folders give: the class is a folder on the way to the image, but not every folder is a class."""

import posixpath
import re
from collections.abc import Collection

from siglino_core.config import LabelFolder, SourceConfig

_SPLIT = re.compile(  # train, train_0, val2, train2017, train_mini, training_set, train_val2018
    r"(train|training|val|valid|validation|dev|test|testing|eval|holdout)"
    r"([-_ ]?(train|val|test|set|mini|split|data|images|public|private|\d{1,4}))*",
    re.IGNORECASE,
)
_CONTAINERS = {"images", "image", "imgs", "img", "jpegs", "jpegimages", "photos", "pictures", "data"}
_SHARD = re.compile(r"\d{5,}")  # img2dataset's folders: 00000, 00001, ...


def shared_folders(names: Collection[str]) -> str:
    """The leading folders that all of these files are in, with a slash after each; they tell no class from another."""
    folders = [name.rpartition("/")[0] for name in (min(names), max(names))]  # what these two share, all share
    return f"{shared}/" if (shared := posixpath.commonpath(folders)) else ""


def folder_label(name: str, config: SourceConfig, shared: str = "") -> str | None:
    """The label of an image by the folders of its name, unless ``label_column`` says where labels are.

    ``first`` is the first folder, ``parent`` the last. ``auto`` is the first folder after those that all images of the
    pool share, after a split's name (train, val, ...) and after folders that hold just images (images, data, ...); a
    number of five digits or more is a shard and no class.

    Args:
        shared: of all images, where all are known (:func:`shared_folders`).
    """
    rule = config.label_folder
    folders = [f for f in name.split("/")[:-1] if f not in ("", ".")]
    if not folders or rule is LabelFolder.NONE or config.label_column:
        return None
    if rule is LabelFolder.FIRST:
        return folders[0]
    if rule is LabelFolder.PARENT:
        return folders[-1]
    folders = [f for f in name.removeprefix(shared).split("/")[:-1] if f not in ("", ".")]
    splits = [i for i, f in enumerate(folders) if _SPLIT.fullmatch(f)]
    folders = folders[splits[-1] + 1 :] if splits else folders
    while folders and folders[0].lower() in _CONTAINERS:
        folders = folders[1:]
    return folders[0] if folders and not _SHARD.fullmatch(folders[0]) else None

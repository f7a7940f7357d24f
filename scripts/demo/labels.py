"""Labels that span openclipart's folders and emojibase's subgroups, and what the pool leaves out."""

import re

# Folders that are not read: people, weapons, flags of countries, brands, templates, cartoons of anything.
SKIPPED_FOLDERS = (
    "people", "tools/weapons", "signs_and_symbols/flags", "logos", "special/examples", "unsorted",
)  # fmt: skip
KEPT_FOLDERS = ("signs_and_symbols/flags/semaphore",)
# Emojibase groups and subgroups: people and bodies, bare components, flags of countries and their parts.
SKIPPED_GROUPS = ("people-body", "component")
SKIPPED_SUBGROUPS = ("country-flag", "subdivision-flag", "gender")
SKIPPED_WORDS = re.compile(
    r"\b(gun|pistol|rifle|swords?|dagger|knife|bomb|grenade|missile|weapons?|ammunition|bullet|bullethole"
    r"|gunshot|tank|bow and arrow|soldier|army|war|blood|gallows|people|person|man|men|woman|women|boy|girl"
    r"|baby|human|face|fist|nude|head|mouth|lips|eye|hands?|bodypart|stickmen|advertising|flags?|drug"
    r"|cigar|cigarette|tobacco|smoking|united nations member|christ|jesus|mary|buddha)\b"
)

# Longest prefix wins; a folder mapped to None is a mixed one: its images carry no label.
OPENCLIPART: dict[str, str | None] = {
    "animals": None,
    "animals/birds": "bird",
    "animals/birds/penguin": "penguin",
    "animals/bugs": "bug",
    "animals/dinosaurs": "dinosaur",
    "animals/fantasy": "fantasy creature",
    "animals/fish": "sea animal",
    "animals/mammals": "mammal",
    "animals/mammals/bears": "bear",
    "animals/mammals/big_cats": "big cat",
    "animals/mammals/dogs": "dog",
    "animals/mammals/horses": "horse",
    "animals/mammals/housecats": "cat",
    "buildings": "building",
    "buildings/furniture": "furniture",
    "buildings/homes": "home",
    "buttons": "button",
    "computer": "computer",
    "computer/buttons": "button",
    "computer/connectors": "connector",
    "computer/diagrams": "network diagram",
    "computer/folders": "folder",
    "computer/games": "computer game",
    "computer/hardware": "computer hardware",
    "computer/icons": "icon, mixed",
    "computer/icons/etiquette-theme": "icon, etiquette theme",
    "computer/icons/flat-theme": "icon, flat theme",
    "computer/icons/lemon-theme": "icon, lemon theme",
    "computer/icons/lemon-theme/filesystems": "icon, lemon folders",
    "computer/icons/lemon-theme/mimetypes": "icon, lemon file types",
    "computer/network": "network diagram",
    "containers": "container",
    "decorations": "decoration",
    "education": "education",
    "education/books": "book and paper",
    "electronics": "electronics",
    "electronics/battery": "battery",
    "electronics/bulb": "light bulb",
    "food": None,
    "food/beverages": "drink",
    "food/beverages/alcohol": "alcohol",
    "food/breads_and_carbs": "bread",
    "food/dairy": "dairy",
    "food/desserts": "sweet",
    "food/fruit": "fruit",
    "food/meats_and_eggs": "meat and eggs",
    "food/vegetables": "vegetable",
    "geography": "map",
    "geography/astronomy": "astronomy",
    "office": "office",
    "office/telephone": "phone",
    "plants": "plant",
    "plants/flowers": "flower",
    "plants/trees": "tree",
    "recreation": None,
    "recreation/art": "art and craft",
    "recreation/games": "game",
    "recreation/games/cards": "playing card",
    "recreation/games/cards/cardbacks": "back of a playing card",
    "recreation/games/chess": "chess",
    "recreation/holiday": "holiday",
    "recreation/holiday/valentines": "heart",
    "recreation/music": "musical instrument",
    "recreation/music/CD_Player": "electronics",
    "recreation/party": "party",
    "recreation/religion": "religion",
    "recreation/sports": "sport",
    "recreation/toys": "toy",
    "science": "science",
    "science/astronomy": "astronomy",
    "science/medicine": "medical",
    "shapes": "geometric shape",
    "shapes/arrows": "arrow",
    "shapes/callouts": "callout",
    "shapes/flowchart": "flowchart",
    "shapes/jigsaw": "jigsaw",
    "shapes/stars": "spirograph star",
    "signs_and_symbols": "sign",
    "signs_and_symbols/awards": "award",
    "signs_and_symbols/clocks": "clock",
    "signs_and_symbols/disability": "sign",
    "signs_and_symbols/flags/semaphore": "semaphore",
    "signs_and_symbols/hazard": "warning",
    "signs_and_symbols/led": "led lamp",
    "signs_and_symbols/map_symbols": "map symbol",
    "signs_and_symbols/money": "money",
    "signs_and_symbols/weather": "weather",
    "special": None,
    "special/gradients": None,
    "special/patterns": "pattern",
    "tools": "tool",
    "tools/toys": "toy",
    "transportation": "land vehicle",
    "transportation/boating": "boat",
    "transportation/roadsigns": "road sign",
    "transportation/vehicles": "land vehicle",
    "transportation/vehicles/hummers": "hummer",
}

# Subgroups that are not here keep their name, with spaces for hyphens. Any face-* is a "smiley".
EMOJIBASE: dict[str, str] = {
    "alphanum": "letter",
    "animal-amphibian": "reptile",
    "animal-bird": "bird",
    "animal-bug": "bug",
    "animal-mammal": "mammal",
    "animal-marine": "sea animal",
    "animal-reptile": "reptile",
    "arts-crafts": "art and craft",
    "av-symbol": "player symbol",
    "award-medal": "award",
    "book-paper": "book and paper",
    "cat-face": "cat",
    "currency": "money",
    "event": "holiday",
    "flag": "plain flag",
    "food-asian": "asian food",
    "food-fruit": "fruit",
    "food-prepared": "prepared food",
    "food-sweet": "sweet",
    "food-vegetable": "vegetable",
    "geometric": "geometric shape",
    "hotel": "household",
    "keycap": "keycap",
    "light-video": "light and video",
    "math": "mathematics",
    "monkey-face": "monkey",
    "other-object": "other object",
    "other-symbol": "other symbol",
    "place-building": "building",
    "place-geographic": "landscape",
    "place-map": "map",
    "place-other": "place",
    "place-religious": "temple",
    "plant-flower": "flower",
    "plant-other": "plant",
    "sky-weather": "weather",
    "time": "clock",
    "transport-air": "aircraft",
    "transport-ground": "land vehicle",
    "transport-sign": "road sign",
    "transport-water": "boat",
}


def of_folder(folder: str) -> tuple[bool, str | None]:
    """Whether an openclipart folder is used, and the label of its images (None in a mixed folder)."""
    inside = [f for f in SKIPPED_FOLDERS + KEPT_FOLDERS if (folder + "/").startswith(f + "/")]
    if inside and max(inside, key=len) not in KEPT_FOLDERS:
        return False, None
    parts = folder.split("/")
    for end in range(len(parts), 0, -1):
        prefix = "/".join(parts[:end])
        if prefix in OPENCLIPART:
            return True, OPENCLIPART[prefix]
    return True, None


def of_subgroup(group: str, subgroup: str) -> tuple[bool, str | None]:
    """The same for an emojibase group and subgroup."""
    if group in SKIPPED_GROUPS or subgroup in SKIPPED_SUBGROUPS:
        return False, None
    if subgroup.startswith("face-"):
        return True, "smiley"
    return True, EMOJIBASE.get(subgroup, subgroup.replace("-", " "))


def is_fit(words: str) -> bool:
    """Whether a title, keywords and path speak of neither people nor weapons."""
    return not SKIPPED_WORDS.search(re.sub(r"[_\-./]+", " ", words.lower()))

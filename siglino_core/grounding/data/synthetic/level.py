"""How hard a synthetic scene is: how many objects, how large, how hidden, and what is asked of them."""

from dataclasses import dataclass
from enum import StrEnum

from siglino_core.errors import ConfigError
from siglino_core.grounding.data.synthetic.things import COLOURS, PLURALS, SIZES


class Kind(StrEnum):
    """Kinds of expressions."""

    ATTRIBUTE = "attribute"  # the small red circle
    POSITION = "position"  # the leftmost circle
    RELATION = "relation"  # the circle left of the blue star
    COUNT = "count"  # all red circles; the two stars


class Background(StrEnum):
    """What lies behind."""

    PLAIN = "plain"  # one grey
    GENERATED = "generated"  # gradients, stripes and noise of pale colours, or photographs where there are some


@dataclass(frozen=True, kw_only=True)
class Level:
    """A level of difficulty.

    Attributes:
        objects: the least and the most in a scene.
        sizes, colours, shapes: those that are drawn.
        cutouts: the share of objects that are cut-outs, where there are some.
        hidden: the share of an object that others may hide; 0: none overlap.
        repeats: whether two objects may look alike (same noun and colour).
        kinds: of expressions, each as often as the others where the scene allows it.
        expressions: an image.
        absent: the share of expressions that refer to nothing.

    Raises:
        ConfigError: settings that cannot be.
    """

    objects: tuple[int, int]
    sizes: tuple[str, ...] = tuple(SIZES)
    colours: tuple[str, ...] = tuple(COLOURS)
    shapes: tuple[str, ...] = tuple(PLURALS)
    cutouts: float = 0.5
    hidden: float = 0.0
    repeats: bool = True
    kinds: tuple[Kind, ...] = tuple(Kind)
    background: Background = Background.GENERATED
    expressions: int = 4
    absent: float = 0.2

    def __post_init__(self) -> None:
        known = {"sizes": SIZES, "colours": COLOURS, "shapes": PLURALS, "kinds": list(Kind)}
        for name, allowed in known.items():
            wrong = [v for v in getattr(self, name) if v not in allowed]
            if wrong or (not getattr(self, name) and name != "shapes"):
                raise ConfigError(f"{name}={getattr(self, name)}: choose one or more of {', '.join(allowed)}")
        least, most = self.objects
        if not 1 <= least <= most <= 20 or self.expressions < 1:
            raise ConfigError(
                f"objects={self.objects}, expressions={self.expressions}: 1 to 20 objects, and an expression or more"
            )
        shares = {"cutouts": (self.cutouts, 1), "hidden": (self.hidden, 0.9), "absent": (self.absent, 1)}
        for name, (share, highest) in shares.items():
            if not 0 <= share <= highest:
                raise ConfigError(f"{name}={share}: it is a share from 0 to {highest}")


EASY = Level(
    objects=(2, 2),
    sizes=("large",),
    repeats=False,
    kinds=(Kind.ATTRIBUTE,),
    background=Background.PLAIN,
    colours=("red", "green", "blue", "yellow"),
    shapes=("circle", "square", "triangle"),
)
"""Two large objects on one grey, told apart by colour and shape: learned on a CPU."""
MEDIUM = Level(objects=(2, 5), hidden=0.2)
HARD = Level(objects=(4, 9), hidden=0.5, expressions=6, sizes=("small", "medium", "large"))
LEVELS = {"easy": EASY, "medium": MEDIUM, "hard": HARD}

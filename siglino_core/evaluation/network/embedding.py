"""The encoder of a run's pool as a network of an evaluation: the same features as the embed stage's, of any images."""

from siglino_core.config import EmbedConfig
from siglino_core.encoders.spec import Spec
from siglino_core.errors import DataError
from siglino_core.evaluation.network.pixels import OwnPixels
from siglino_core.evaluation.network.plan import Described
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.hashing import fingerprint
from siglino_core.networks import describe, load_encoder


def describe_embedding(config: EmbedConfig) -> Described:
    """One view, by the name of its card; no network is built where files tell its identity.

    Raises:
        ConfigError: the encoder cannot be had.
    """
    spec = Spec.of(config)
    card = describe(spec)
    return Described(
        identity=fingerprint(["embed", card.name, card.identity, config.pooling.value, config.image_size]),
        views={card.name: card.dim},
        dense=[],
        texts={},
        pixels=OwnPixels(preprocess=card.pixels),
        spec=spec,
        card=card,
    )


def load_embedding(config: EmbedConfig, identity: str, device: str = "auto") -> Viewed:
    """The encoder, ready to compute; raises as :func:`describe_embedding`.

    Args:
        identity: of the one that was described.

    Raises:
        DataError: the weights are others than those that were described.
    """
    from siglino_core.evaluation.network.encoder import EncoderNetwork

    described = describe_embedding(config)
    if described.identity != identity:
        raise DataError(f"embed.encoder={config.encoder}: its weights changed since the evaluation began.")
    return EncoderNetwork(load_encoder(described.spec, device, "auto"), described)

"""What one network says of one split of a data set, as every metric takes it.

Legend: N samples that could be read, F samples that could not, D width, L mixture layers, K kinds of tokens, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Summaries in memory; features of patches are read from the store as they are needed.

    Attributes:
        network, dataset, split: their names in the evaluation.
        sample_ids: unique, [N].
        image_ids: SHA-256 of each encoded image's bytes, first 32 hex digits.
        labels: class names, None where there is none.
        captions: of each image, any number.
        summaries: fp32 [N, D] by view, of any length.
        failed: label (or None) and captions of the F samples that could not be read, by sample.
        preprocessing: how images became pixels.
        hashes: of the network, the split and the features.
        experts: int64 [L, K, E], how often each expert of a student was chosen for each kind of token
            (`siglino_core.evaluation.expert_load.expert_counts`); None: it has none.
    """

    network: str
    dataset: str
    split: str
    sample_ids: Sequence[str]
    image_ids: Sequence[str]
    labels: Sequence[str | None]
    captions: Sequence[tuple[str, ...]]
    summaries: Mapping[str, np.ndarray]
    failed: Mapping[str, tuple[str | None, tuple[str, ...]]] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    experts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sample_ids)

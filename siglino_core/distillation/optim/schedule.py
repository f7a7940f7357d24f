"""The learning rate's course, as a pure function of the step.

Sources: Loshchilov and Hutter 2017 (arXiv 1608.03983), without restarts, for the cosine; Hu et al. 2024
(arXiv 2404.06395), section 4, and Haegele et al. 2024 (arXiv 2405.18392) for warm-up, stable, decay.
"""

import math

from siglino_core.config import OptimConfig, Schedule

DECAY_SHARE = 0.2  # of the steps, at the end of "wsd"


def lr_factor(step: int, config: OptimConfig) -> float:
    """What the learning rate is multiplied by in a step.

    Args:
        step: from 0. Step ``warmup_steps - 1`` is the first at the full rate. The final share is reached at
            ``step == steps``, after the last one (so that no step is taken at a rate of 0), and held from there on.
        config: its ``schedule``, ``steps``, ``warmup_steps`` and ``final_lr_share``.

    Returns:
        0..1; from the warm-up's end on at least ``final_lr_share``.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == Schedule.CONSTANT:
        return 1.0
    start = config.warmup_steps
    if config.schedule == Schedule.WSD:
        start = max(start, config.steps - round(DECAY_SHARE * config.steps))
    done = min(1.0, max(0, step - start) / max(1, config.steps - start))
    fallen = done if config.schedule == Schedule.WSD else (1 - math.cos(math.pi * done)) / 2
    return 1 - (1 - config.final_lr_share) * fallen

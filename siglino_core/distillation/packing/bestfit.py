"""Best fit with a look-ahead: which images share a sequence, so that it is nearly full.

A pack opens with the largest waiting image: were it any other, large images would pile up, and the last of them would
have no small ones left to share a pack with. Then the largest that fits goes in, again and again; but where it would
take a quarter of what is left or more, pairs of a few waiting images with any other are tried first, since the last two
together fill a gap far better than the last one alone. A small image may wait long: packs are shuffled afterwards.

Legend: N images, L lanes, K images waiting in a lane, T images placed in a lane, P packs, S images tried in pairs.
"""

from bisect import bisect_right, insort

import numpy as np

TRIED = 8
LANE = 8  # a lane's images, in look-aheads: long enough for its last waiting images to be few, short for many lanes


def best_fit(
    tokens_N: np.ndarray, *, capacity: int, max_images: int, look_ahead: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Pack all images.

    Args:
        tokens_N: integers [N] from 1 to ``capacity``, in the order in which the images come.
        capacity: tokens of a pack, under 2^31.
        max_images: of a pack.
        look_ahead: images that wait at a time, a multiple of 8.

    Returns:
        The images in the order of their packs, int64 [N], and where each pack begins in it, int64 [P].

    Python alone places about 300,000 images a second; numpy, given many lanes, a million and more. So long input is cut
    into lanes, each with its own look-ahead, which numpy advances together, an image a lane at a time. What still waits
    when a lane has no more to come goes on together, in fewer lanes, and in the end one by one.
    """
    assert look_ahead % TRIED == 0
    length = LANE * max(look_ahead, max_images)
    orders, sizes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    rest = np.arange(len(tokens_N))
    while (lanes := len(rest) // length) > 1:
        lane_LN, tail = rest[: lanes * length].reshape(lanes, length), rest[lanes * length :]
        placed_LT, opens_LT, waiting_LK = _lanes(tokens_N[lane_LN], capacity, max_images, look_ahead)
        # A lane's last pack may have room left: its images wait on with the others.
        last_L1 = opens_LT.shape[1] - 1 - opens_LT[:, ::-1].argmax(axis=1)[:, None]
        done_LT = np.arange(opens_LT.shape[1]) < last_L1
        order_LT = np.take_along_axis(lane_LN, placed_LT, axis=1)
        orders.append(order_LT[done_LT])
        sizes.append(np.diff(np.flatnonzero(opens_LT[done_LT]), append=len(orders[-1])))
        waiting = np.take_along_axis(lane_LN, waiting_LK, axis=1).ravel()
        rest = np.concatenate([np.sort(np.concatenate([waiting, order_LT[~done_LT]])), tail])
    packs = _one_by_one(tokens_N[rest].tolist(), capacity, max_images, look_ahead)
    orders.append(rest[np.array([image for pack in packs for image in pack], np.int64)])
    sizes.append(np.array([len(pack) for pack in packs], np.int64))
    sizes_P = np.concatenate(sizes)
    return np.concatenate(orders), np.cumsum(sizes_P) - sizes_P


def _lanes(
    tokens_LN: np.ndarray, capacity: int, max_images: int, look_ahead: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All lanes together, while more images come: placed [L, T], whether each opens a pack, and who waits [L, K].

    Unsigned numbers wrap: what is left minus an image that does not fit is a huge gap. So the best fit is the smallest
    gap, which takes two passes over the waiting images and no branch.
    """
    lanes, total = tokens_LN.shape
    number = np.uint16 if capacity < 1 << 15 else np.uint32
    huge = np.iinfo(number).max // 2 + 1
    coming_NL = np.ascontiguousarray(tokens_LN.T, dtype=number)
    waiting_LK = np.ascontiguousarray(coming_NL[:look_ahead].T)
    who_LK = np.tile(np.arange(look_ahead, dtype=np.int32), (lanes, 1))
    gap_LK = np.empty_like(waiting_LK)
    waiting, who, gap = waiting_LK.ravel(), who_LK.ravel(), gap_LK.ravel()  # views
    row_L = np.arange(lanes) * look_ahead
    left_L, slots_L = np.zeros(lanes, number), np.zeros(lanes, np.int64)
    placed_TL = np.empty((total - look_ahead, lanes), np.int32)
    opens_TL = np.empty((total - look_ahead, lanes), bool)
    for t in range(total - look_ahead):
        np.subtract(left_L[:, None], waiting_LK, out=gap_LK)
        at_L = gap_LK.argmin(axis=1)
        at_L += row_L
        best_L = gap.take(at_L)
        opens_L = best_L >= huge
        greedy = np.flatnonzero((best_L > 0) & (best_L <= (left_L >> 2) * 3) & (slots_L > 1))
        if len(greedy):
            first = t * TRIED % look_ahead
            pair_L, found_L = _pairs(gap_LK[greedy], waiting_LK[greedy], first, huge)
            better = pair_L < best_L[greedy]
            at_L[greedy[better]] = row_L[greedy[better]] + found_L[better]
        opening = np.flatnonzero(opens_L)
        at_L[opening] = row_L[opening] + waiting_LK[opening].argmax(axis=1)
        left_L[opening], slots_L[opening] = capacity, max_images
        left_L -= waiting.take(at_L)
        slots_L -= 1
        left_L[slots_L == 0] = 0
        placed_TL[t], opens_TL[t] = who.take(at_L), opens_L
        waiting[at_L], who[at_L] = coming_NL[look_ahead + t], look_ahead + t
    return placed_TL.T, opens_TL.T, who_LK


def _pairs(gap_LK: np.ndarray, waiting_LK: np.ndarray, first: int, huge: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest gap that one of S images, from ``first`` on, leaves together with any other; and which one it is."""
    tried = np.arange(TRIED)
    # A pair that does not fit wraps to more than was left, since two images have at most all the number's range.
    pair_LSK = gap_LK[:, first : first + TRIED, None] - waiting_LK[:, None, :]
    pair_LSK[:, tried, first + tried] = huge  # none goes in twice
    pair_LX = pair_LSK.reshape(len(gap_LK), -1)
    best_L = pair_LX.argmin(axis=1)
    return pair_LX[np.arange(len(pair_LX)), best_L], first + best_L // waiting_LK.shape[1]


def _one_by_one(tokens: list[int], capacity: int, max_images: int, look_ahead: int) -> list[list[int]]:
    """The same over a sorted list of those who wait, to the last image."""
    n = len(tokens)
    waiting = sorted(tokens[i] * n + i for i in range(min(look_ahead, n)))  # tokens first, then who
    came = len(waiting)
    packs: list[list[int]] = []
    while waiting:
        at = len(waiting) - 1
        pack: list[int] = []
        left = capacity
        while at >= 0:
            image = waiting.pop(at) % n
            pack.append(image)
            left -= tokens[image]
            if came < n:
                insort(waiting, tokens[came] * n + came)
                came += 1
            at = _choose(waiting, n, left, max_images - len(pack))
        packs.append(pack)
    return packs


def _choose(waiting: list[int], n: int, left: int, slots: int) -> int:
    """Which of those who wait goes in; -1: none."""
    if slots == 0:
        return -1
    at = bisect_right(waiting, left * n + n - 1) - 1
    if at < 0:
        return -1
    best = left - waiting[at] // n
    if slots > 1 and 0 < best <= left // 4 * 3:
        for tried in range(0, at + 1, at // TRIED + 1):
            rest = left - waiting[tried] // n
            other = bisect_right(waiting, rest * n + n - 1) - 1
            other -= other == tried
            if other >= 0 and rest - waiting[other] // n < best:
                at, best = tried, rest - waiting[other] // n
    return at

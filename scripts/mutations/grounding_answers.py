"""Breaks of the answers: how they are judged, compared with what knows no text, and shown."""

from scripts.mutations.mutation import Mutation

CODE, TESTS = "siglino_core/grounding/judged", "tests/siglino_core/grounding/judged"

MUTATIONS = (
    Mutation(
        says="an interval takes expressions of one image for independent",
        file=f"{CODE}/series.py",
        old="return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)",
        new="return np.arange(self.n)",
        tests=(f"{TESTS}/test_numbers.py",),
    ),
    Mutation(
        says="any box of an answer may be the one that counts",
        file=f"{CODE}/answer.py",
        old="key=lambda one: -one.score",
        new="key=lambda one: 0",
        tests=(f"{TESTS}/test_answer.py",),
    ),
    Mutation(
        says="a forced box says that it is there",
        file=f"{CODE}/answer.py",
        old="said=reply.present > 0.5",
        new="said=None",
        tests=(f"{TESTS}/test_answer.py",),
    ),
    Mutation(
        says="a grounding model passes the gate that may be no better than its best baseline",
        file="siglino_core/evaluation/results/invariants.py",
        old="passed = above.low is not None and above.low > 0",
        new="passed = above.low is not None and above.value >= 0",
        tests=("tests/siglino_core/evaluation/results/test_invariants.py",),
    ),
    Mutation(
        says="above a baseline is what may be chance",
        file=f"{CODE}/verdict.py",
        old="found.low > 0",
        new="found.difference > 0",
        tests=(f"{TESTS}/test_verdict.py",),
    ),
    Mutation(
        says="the model is compared with its worst baseline",
        file=f"{CODE}/verdict.py",
        old="best = max(",
        new="best = min(",
        tests=(f"{TESTS}/test_verdict.py",),
    ),
    Mutation(
        says="a shuffled text's answer is the expression's own",
        file="pipelines/answers/ask.py",
        old="saying = of_reply(next(said), masks=masks)",
        new="saying = of_reply(reply, masks=masks)",
        tests=("tests/pipelines/test_answers.py",),
    ),
    Mutation(
        says="an expression without an answer is none of those that lack one",
        file="pipelines/answers/others.py",
        old="missing=True)",
        new="missing=False)",
        tests=("tests/pipelines/test_answers.py",),
    ),
)

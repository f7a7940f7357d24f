"""Breaks of the early-fusion model: who sees whom, codecs, answers, its training."""

from scripts.mutations.mutation import Mutation

CODE, TESTS = "siglino_core/grounding", "tests/siglino_core/grounding"

MUTATIONS = (
    Mutation(
        says="a text sees its own future",
        file=f"{CODE}/documents.py",
        old="own_RLL.tril()], dim=2)",
        new="own_RLL], dim=2)",
        tests=(f"{TESTS}/test_attention.py", f"{TESTS}/test_model.py"),
    ),
    Mutation(
        says="texts about one image see one another",
        file=f"{CODE}/documents.py",
        old="(document_RL[:, :, None] == document_RL[:, None])",
        new="(document_RL[:, :, None] >= document_RL[:, None])",
        tests=(f"{TESTS}/test_attention.py", f"{TESTS}/test_model.py"),
    ),
    Mutation(
        says="a place depends on the resolution",
        file=f"{CODE}/block.py",
        old=" * (1 - 1 / side_B2)[image_N]",
        new="",
        tests=(f"{TESTS}/test_block.py",),
    ),
    Mutation(
        says="gradients are computed of words that stay as drawn",
        file=f"{CODE}/training/task.py",
        old="p.requires_grad_(self.lr_share(name) > 0)",
        new="p.requires_grad_(True)",
        tests=(f"{TESTS}/training/test_task.py",),
    ),
    Mutation(
        says="a coordinate is its bin's edge",
        file=f"{CODE}/codecs.py",
        old="return (bin_.float() + 0.5) / bins",
        new="return bin_.float() / bins",
        tests=(f"{TESTS}/test_codecs.py",),
    ),
    Mutation(
        says="text goes through no experts",
        file=f"{CODE}/block.py",
        old="fed_SD = self.text(h_SD, used)",
        new="fed_SD = 0 * self.text(h_SD, used)",
        tests=(f"{TESTS}/test_model.py",),
    ),
    Mutation(
        says="a size that was predicted enters as a point",
        file=f"{CODE}/model.py",
        old="(Control.SIZE, self.size_in)",
        new="(Control.SIZE, self.coordinate_in)",
        tests=(f"{TESTS}/test_model.py",),
    ),
    Mutation(
        says="a mask is asked of the size's predictor",
        file=f"{CODE}/targets.py",
        old="segment_K=(coordinate_K + 2)",
        new="segment_K=(coordinate_K + 1)",
        tests=(f"{TESTS}/test_targets.py",),
    ),
    Mutation(
        says="time stands still in what is read later",
        file=f"{CODE}/cache.py",
        old="self.time_Q = time_QL[:, -1]",
        new="pass",
        tests=(f"{TESTS}/test_cache.py",),
    ),
    Mutation(
        says="padding is seen by later tokens",
        file=f"{CODE}/cache.py",
        old="self.real_QP = torch.cat([self.real_QP, real_QL], dim=1)",
        new="self.real_QP = torch.cat([self.real_QP, torch.ones_like(real_QL)], dim=1)",
        tests=(f"{TESTS}/test_predict.py", f"{TESTS}/test_cache.py"),
    ),
    Mutation(
        says="a mask is compared before it is scaled",
        file=f"{CODE}/predict.py",
        old='mode="bilinear", align_corners=False',
        new='mode="nearest"',
        tests=(f"{TESTS}/test_predict.py",),
    ),
    Mutation(
        says="a key without a place is dropped in silence",
        file=f"{CODE}/transfer.py",
        old='"has no place in the model": unused,',
        new='"has no place in the model": (),',
        tests=(f"{TESTS}/test_transfer.py",),
    ),
    Mutation(
        says="a pass is a mean of its own, not the step's",
        file=f"{CODE}/training/task.py",
        old="counts = self._counts([Counts.of(t, batch.masks, len(batch.ids)) for batch, (*_, t) in made])",
        new="counts = Counts.of(packs[0][2], read[0].masks, len(read[0].ids))",
        tests=(f"{TESTS}/training/test_task.py::test_a_step_in_several_passes_is_one_in_one",),
    ),
    Mutation(
        says="what the student gave is trained as fast as the rest",
        file=f"{CODE}/training/task.py",
        old="return self.setting.image_lr if _of_student(name) else 1.0",
        new="return 1.0",
        tests=(f"{TESTS}/training/test_task.py::test_what_the_student_gave_may_be_frozen_or_gentle",),
    ),
)

"""Breaks of training: the loop, losses, optimisers, packing, targets."""

from scripts.mutations.mutation import Mutation

TRAINING, TRAINING_TESTS = "siglino_core/distillation/training", "tests/siglino_core/distillation/training"
OPTIM, OPTIM_TESTS = "siglino_core/distillation/optim", "tests/siglino_core/distillation/optim"
PACKING, PACKING_TESTS = "siglino_core/distillation/packing", "tests/siglino_core/distillation/packing"
TARGETS, TARGETS_TESTS = "siglino_core/distillation/targets", "tests/siglino_core/distillation/targets"
GOLDEN = f"{TRAINING_TESTS}/test_golden_curve.py::test_numbers_and_weights_are_those_recorded"
OVER_RANKS = f"{TRAINING_TESTS}/test_objective.py::test_the_average_over_ranks_is_what_one_process_gets"

MUTATIONS = (
    # Training
    Mutation(
        says="the learning rate is halved",
        file=f"{TRAINING}/rank.py",
        old='group["lr"] = rate * factor',
        new='group["lr"] = rate * factor / 2',
        tests=(GOLDEN,),
    ),
    Mutation(
        says="registers weigh 1, whatever their setting",
        file=f"{TRAINING}/objective.py",
        old='errors["register"] = (c.register, ',
        new='errors["register"] = (1.0, ',
        tests=(GOLDEN,),
    ),
    Mutation(
        says="gradients are not clipped",
        file=f"{TRAINING}/rank.py",
        old="self.model.parameters(), self.train.optim.clip)",
        new='self.model.parameters(), float("inf"))',
        tests=(GOLDEN,),
    ),
    Mutation(
        says="the averaged weights stay at the first ones",
        file=f"{TRAINING}/rank.py",
        old="            self.ema.update(self.model)",
        new="            pass",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="a step's relations are summed over its passes",
        file=f"{TRAINING}/objective.py",
        old="relation = relation / passes",
        new="relation = relation * 1",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="gradients of the step before stay",
        file=f"{TRAINING}/rank.py",
        old="            optimizer.zero_grad()",
        new="            pass",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="experts are not balanced",
        file=f"{TRAINING}/rank.py",
        old="self.train.balance if good else 0.0",
        new="0.0",
        tests=("tests/pipelines/test_train.py::test_experts_are_balanced",),
    ),
    Mutation(
        says="a step that is not finite is applied",
        file=f"{TRAINING}/rank.py",
        old="        if good:\n            for optimizer",
        new="        if True:\n            for optimizer",
        tests=("tests/pipelines/test_train.py::test_a_step_that_is_not_finite_changes_nothing",),
    ),
    Mutation(
        says="resuming loses the optimisers' state",
        file=f"{TRAINING}/rank.py",
        old="self.checkpoints.restore(self._state(), self.begin.name)",
        new='self.checkpoints.restore({k: v for k, v in self._state().items() if k[:6] != "optim."}, self.begin.name)',
        tests=(f"{TRAINING_TESTS}/test_golden_curve.py::test_going_on_from_a_checkpoint_changes_nothing",),
    ),
    Mutation(
        says="a cluster's loss is of the window before",
        file=f"{TRAINING}/clusters.py",
        old="window = step * self.windows // self.steps",
        new="window = max(0, step - 1) * self.windows // self.steps",
        tests=(f"{TRAINING_TESTS}/test_clusters.py",),
    ),
    Mutation(
        says="one checkpoint fewer is kept",
        file=f"{TRAINING}/checkpoints.py",
        old="i >= len(kept) - self._last",
        new="i > len(kept) - self._last",
        tests=(f"{TRAINING_TESTS}/test_checkpoints.py::test_the_newest_and_some_old_ones_are_kept",),
    ),
    Mutation(
        says="an image is mirrored in every epoch or in none",
        file=f"{TRAINING}/reader.py",
        old='key_of(self.flip_seed, "flip", int(epoch))',
        new='key_of(self.flip_seed, "flip")',
        tests=(f"{TRAINING_TESTS}/test_reader.py::test_flips_are_keyed",),
    ),
    Mutation(
        says="another anchor is the same training",
        file="pipelines/train/job.py",
        old='"gram_checkpoint": loss.gram_checkpoint if loss.gram else ""',
        new='"gram_checkpoint": ""',
        tests=("tests/pipelines/test_train.py::test_an_anchor",),
    ),
    # Losses
    Mutation(
        says="Gram anchoring weighs 1, whatever its setting",
        file=f"{TRAINING}/objective.py",
        old="total = total + c.gram * term",
        new="total = total + term",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="large images' patches weigh more than small ones'",
        file=f"{TRAINING}/losses.py",
        old='torch.segment_reduce(values_T, "mean", lengths=lengths_B, unsafe=True)',
        new="values_T.mean().expand(len(lengths_B))",
        tests=(f"{TRAINING_TESTS}/test_losses.py::test_an_image_weighs_the_same_whatever_its_resolution",),
    ),
    Mutation(
        says="summaries' errors are over phi, not its square",
        file=f"{TRAINING}/losses.py",
        old="return _squared_error(student_BD, teacher_BD) / phi**2",
        new="return _squared_error(student_BD, teacher_BD) / phi",
        tests=(f"{TRAINING_TESTS}/test_losses.py::test_summaries_and_registers_are_means_of_squares",),
    ),
    Mutation(
        says="a rank divides by its own number of images",
        file=f"{TRAINING}/losses.py",
        old="return errors_B.sum() / (images or 1.0)",
        new="return errors_B.sum() / (len(errors_B) or 1.0)",
        tests=(OVER_RANKS,),
    ),
    Mutation(
        says="relations' gradient is a share of the ranks'",
        file=f"{TRAINING}/losses.py",
        old="ctx.count) * ctx.ranks, None",
        new="ctx.count), None",
        tests=(OVER_RANKS,),
    ),
    Mutation(
        says="arkd pulls what it should push",
        file=f"{TRAINING}/losses.py",
        old="theirs_P < theirs_P.median()",
        new="theirs_P >= theirs_P.median()",
        tests=(f"{TRAINING_TESTS}/test_losses.py::test_relations_by_hand",),
    ),
    # Optimisers
    Mutation(
        says="norms and biases decay",
        file=f"{OPTIM}/build.py",
        old="0.0 if group is Group.VECTORS else config.weight_decay",
        new="config.weight_decay",
        tests=(f"{OPTIM_TESTS}/test_build.py::test_the_optimizers_and_their_groups",),
    ),
    Mutation(
        says="Muon does not look ahead",
        file=f"{OPTIM}/muon.py",
        old='update = part.lerp(own, momentum) if group["nesterov"] else own',
        new="update = own",
        tests=(f"{OPTIM_TESTS}/test_muon.py::test_a_matrix_is_updated_as_torch_does_bit_for_bit",),
    ),
    Mutation(
        says="Muon has no momentum",
        file=f"{OPTIM}/muon.py",
        old="own.lerp_(part, 1 - momentum)",
        new="own.copy_(part)",
        tests=(f"{OPTIM_TESTS}/test_muon.py::test_a_matrix_is_updated_as_torch_does_bit_for_bit",),
    ),
    Mutation(
        says="the warm-up is a step late",
        file=f"{OPTIM}/schedule.py",
        old="return (step + 1) / config.warmup_steps",
        new="return step / config.warmup_steps",
        tests=(f"{OPTIM_TESTS}/test_schedule.py::test_golden",),
    ),
    Mutation(
        says="the average keeps what it should let go",
        file=f"{OPTIM}/ema.py",
        old="1 - self.decay)",
        new="self.decay)",
        tests=(f"{OPTIM_TESTS}/test_ema.py::test_the_closed_form",),
    ),
    Mutation(
        says="the busiest experts get more",
        file="siglino_core/models/routing.py",
        old="(counts_LE.mean(1, keepdim=True) - counts_LE).sign()",
        new="(counts_LE - counts_LE.mean(1, keepdim=True)).sign()",
        tests=("tests/siglino_core/models/test_routing.py::test_a_step_is_the_centred_sign",),
    ),
    # Packing
    Mutation(
        says="packs go to the rank at the other end",
        file=f"{PACKING}/plan.py",
        old="window.pack_SV[row, rank::world]",
        new="window.pack_SV[row, world - 1 - rank :: world]",
        tests=(f"{PACKING_TESTS}/test_plan.py::test_ranks_that_come_and_go_hold_the_same_steps",),
    ),
    Mutation(
        says="parts count by their size, whatever their ratio",
        file=f"{PACKING}/mixture.py",
        old="len(p) if p.ratio is None else p.ratio for",
        new="len(p) for",
        tests=(f"{PACKING_TESTS}/test_mixture.py::test_each_image_once_before_any_again",),
    ),
    Mutation(
        says="packs come in the order of their filling",
        file=f"{PACKING}/block.py",
        old="start_P, size_P = start_P[shuffle_P], size_P[shuffle_P]",
        new="pass",
        tests=(f"{PACKING_TESTS}/test_plan.py::test_packs_come_in_no_order_of_their_filling",),
    ),
    # Targets
    Mutation(
        says="standardised features come back without their mean",
        file=f"{TARGETS}/phi_s.py",
        old="return self.phi * (y @ rotation) + mean",
        new="return self.phi * (y @ rotation)",
        tests=(f"{TARGETS_TESTS}/test_phi_s.py::test_inverse_in_fp64_and_any_leading_shape",),
    ),
    Mutation(
        says="int8 has one scale for all tokens",
        file=f"{TARGETS}/codec.py",
        old="(y_NC.abs().amax(1) / largest).half()",
        new="(y_NC.abs().amax().expand(len(y_NC)) / largest).half()",
        tests=(f"{TARGETS_TESTS}/test_codec.py",),
    ),
)

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
        file=f"{TRAINING}/loop.py",
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
        file=f"{TRAINING}/loop.py",
        old="self.model.parameters(), self.config.optim.clip)",
        new='self.model.parameters(), float("inf"))',
        tests=(GOLDEN,),
    ),
    Mutation(
        says="the averaged weights stay at the first ones",
        file=f"{TRAINING}/loop.py",
        old="            self.ema.update(self.model)",
        new="            pass",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="a step's relations are those of each pass alone",
        file=f"{TRAINING}/passes.py",
        old="related = related_packs(self.objective.config, self.packs)",
        new="related = self.at_once",
        tests=(f"{TRAINING_TESTS}/test_passes.py::test_passes_change_no_gradient",),
    ),
    Mutation(
        says="gradients are exchanged in every pass",
        file=f"{TRAINING}/parallel.py",
        old="model.set_requires_gradient_sync(now)",
        new="model.set_requires_gradient_sync(True)",
        tests=(f"{TRAINING_TESTS}/test_passes.py::test_gradients_are_exchanged_once_a_step",),
    ),
    Mutation(
        says="the passes that ask for summaries count as load",
        file="siglino_core/models/moe.py",
        old="self.training and torch.is_grad_enabled()",
        new="self.training",
        tests=(f"{TRAINING_TESTS}/test_passes.py::test_loads_are_counted_once",),
    ),
    Mutation(
        says="gradients of the step before stay",
        file=f"{TRAINING}/loop.py",
        old="            optimizer.zero_grad()",
        new="            pass",
        tests=(GOLDEN,),
    ),
    Mutation(
        says="experts are not balanced",
        file=f"{TRAINING}/loop.py",
        old="self.config.balance if good else 0.0",
        new="0.0",
        tests=("tests/pipelines/test_train.py::test_experts_are_balanced",),
    ),
    Mutation(
        says="a step that is not finite is applied",
        file=f"{TRAINING}/loop.py",
        old="        if good:\n            for optimizer",
        new="        if True:\n            for optimizer",
        tests=("tests/pipelines/test_train.py::test_a_step_that_is_not_finite_changes_nothing",),
    ),
    Mutation(
        says="resuming loses the optimisers' state",
        file=f"{TRAINING}/loop.py",
        old="self.checkpoints.restore(self._state(), begin.name)",
        new='self.checkpoints.restore({k: v for k, v in self._state().items() if k[:6] != "optim."}, begin.name)',
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
        file=f"{TRAINING}/relations.py",
        old="own_BD = ranks * gradient_BD",
        new="own_BD = gradient_BD",
        tests=(OVER_RANKS,),
    ),
    Mutation(
        says="arkd pulls what it should push",
        file=f"{TRAINING}/relations.py",
        old="theirs_P < theirs_P.median()",
        new="theirs_P >= theirs_P.median()",
        tests=(f"{TRAINING_TESTS}/test_relations.py::test_relations_by_hand",),
    ),
    # Options
    Mutation(
        says="teacher dropping may leave out an image's worst teacher",
        file=f"{TRAINING}/dropping.py",
        old="kept_MB = says_MB & (worst_MB | (",
        new="kept_MB = says_MB & ((",
        tests=(f"{TRAINING_TESTS}/test_dropping.py::test_coefficients_are_those_of_single_images",),
    ),
    Mutation(
        says="teacher dropping draws the same in every epoch",
        file=f"{TRAINING}/dropping.py",
        old='key_of(seed, "drop", name, int(epoch))',
        new='key_of(seed, "drop", name)',
        tests=(f"{TRAINING_TESTS}/test_dropping.py::test_draws_belong_to_the_image_its_epoch_and_the_teacher",),
    ),
    Mutation(
        says="what dropping left out is paid for",
        file=f"{TRAINING}/objective.py",
        old="mean_over_images(kept[name] * error_B, share)",
        new="mean_over_images(error_B, share)",
        tests=(
            f"{TRAINING_TESTS}/test_objective.py::test_dropped_teachers_cost_nothing_and_are_measured_all_the_same",
        ),
    ),
    Mutation(
        says="all teachers weigh 1",
        file=f"{TRAINING}/objective.py",
        old="weight = self.weights.get(name, 1.0)",
        new="weight = 1.0",
        tests=(f"{TRAINING_TESTS}/test_objective.py::test_teachers_weigh_what_they_are_given",),
    ),
    Mutation(
        says="a teacher's mean is over all images, also those that do not train it",
        file=f"{TRAINING}/objective.py",
        old="share = taught[name].images if name in taught else images",
        new="share = images",
        tests=(f"{TRAINING_TESTS}/test_routes.py::test_a_mean_is_over_the_images_that_count",),
    ),
    Mutation(
        says="the mix of errors has its weights the wrong way round",
        file=f"{TRAINING}/errors.py",
        old="self.cosine_share * angular_T + (1 - self.cosine_share) * absolute_T",
        new="(1 - self.cosine_share) * angular_T + self.cosine_share * absolute_T",
        tests=(f"{TRAINING_TESTS}/test_errors.py::test_values_are_those_of_plain_sums",),
    ),
    Mutation(
        says="channels are divided by their variances",
        file=f"{TARGETS}/normalize.py",
        old="return 1 / self._fitted.variance.sqrt()",
        new="return 1 / self._fitted.variance",
        tests=(f"{TARGETS_TESTS}/test_normalize.py::test_channel_gives_each_channel_mean_0_and_variance_1",),
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
        old="(count_E.mean() - count_E).sign()",
        new="(count_E - count_E.mean()).sign()",
        tests=("tests/siglino_core/models/test_routing.py::test_a_step_is_the_centred_sign",),
    ),
    # Packing
    Mutation(
        says="packs go to the rank at the other end",
        file=f"{PACKING}/plan.py",
        old="made.dealt_V[rank::world]",
        new="made.dealt_V[world - 1 - rank :: world]",
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
        old="start_P, size_P = start_P[row_P], size_P[row_P]",
        new="pass",
        tests=(f"{PACKING_TESTS}/test_plan.py::test_packs_come_in_no_order_of_their_filling",),
    ),
    Mutation(
        says="a step's packs are not sorted by cost",
        file=f"{PACKING}/match.py",
        old="match is Match.NONE else",
        new="match is Match.STEP else",
        tests=(f"{PACKING_TESTS}/test_measures.py::test_the_second_stages_ranks_wait_little",),
    ),
    Mutation(
        says="like packs follow one another",
        file=f"{PACKING}/match.py",
        old="np.arange(len(size_P)) * GOLDEN) % 1",
        new="np.arange(len(size_P)) / len(size_P)) % 1",
        tests=(f"{PACKING_TESTS}/test_measures.py::test_every_step_has_the_mixtures_resolutions",),
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

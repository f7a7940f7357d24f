"""Breaks of what others load: the student's outputs, its code files, its programs."""

from scripts.mutations.mutation import Mutation

MODELS, MODEL_TESTS = "siglino_core/models", "tests/siglino_core/models"
WEIGHTS, WEIGHTS_TESTS = "siglino_core/weights", "tests/siglino_core/weights"

MUTATIONS = (
    Mutation(
        says="a ladder's rungs read the block before theirs",
        file=f"{MODELS}/encoder.py",
        old="between = [states[i + 1] for i in t.layers]",
        new="between = [states[i] for i in t.layers]",
        tests=(f"{MODEL_TESTS}/test_heads.py",),
    ),
    Mutation(
        says="a transformer head's attention is not added",
        file=f"{MODELS}/heads.py",
        old="x_TD = x_TD + self.wo(",
        new="x_TD = x_TD + 0 * self.wo(",
        tests=(f"{MODEL_TESTS}/test_heads.py::test_a_transformer_head_is_a_block_over_each_image",),
    ),
    Mutation(
        says="a sink learns in the wrong direction",
        file=f"{MODELS}/flash.py",
        old="dsink_H = -(weight_HT",
        new="dsink_H = (weight_HT",
        tests=(f"{MODEL_TESTS}/test_flash.py",),
    ),
    Mutation(
        says="flash attention's gradients know no sink",
        file=f"{MODELS}/flash.py",
        old="ctx.save_for_backward(q_THD, k_THD, v_THD, out_THD, with_sink_HT,",
        new="ctx.save_for_backward(q_THD, k_THD, v_THD, out_THD, lse_HT,",
        tests=(f"{MODEL_TESTS}/test_flash.py",),
    ),
    Mutation(
        says="training in bf16 rounds the routers' gates",
        file="siglino_core/distillation/training/parallel.py",
        old="fully_shard(model, mesh=mesh, mp_policy=fp32,",
        new="fully_shard(model, mesh=mesh, mp_policy=replace(fp32, param_dtype=dtype),",
        tests=(
            "tests/siglino_core/distillation/training/test_parallel_precision.py"
            "::test_an_export_in_bf16_routes_as_training_in_bf16_does",
        ),
    ),
    Mutation(
        says="a cast rounds what stays fp32",
        file=f"{MODELS}/precision.py",
        old="return tensor.to(new.device) if less and any(tensor is k for k in kept) else new",
        new="return new",
        tests=(f"{MODEL_TESTS}/test_precision.py",),
    ),
    Mutation(
        says="an image's tokens are summed in their own precision",
        file=f"{MODELS}/heads.py",
        old="x_T = x_T.to(torch.promote_types(x_T.dtype, torch.float32))",
        new="pass",
        tests=(f"{MODEL_TESTS}/test_heads.py",),
    ),
    Mutation(
        says="in traces every expert counts",
        file=f"{MODELS}/experts_dense.py",
        old="* gates_TE[..., None]",
        new="* gates_Tk.mean()",
        tests=(f"{MODEL_TESTS}/test_moe.py",),
    ),
    Mutation(
        says="a row's gate has no gradient",
        file=f"{MODELS}/experts_grouped.py",
        old="dgates_N.index_select(0, back_Tk.flatten()).view_as(gates_Tk), None, None",
        new="None, None, None",
        tests=(f"{MODEL_TESTS}/test_moe.py",),
    ),
    Mutation(
        says="clipping counts one rank's gradients",
        file="siglino_core/distillation/optim/local.py",
        old="return [mesh.get_group(i) for i in sharded if mesh.size(i) > 1]",
        new="return []",
        tests=("tests/siglino_core/distillation/optim/test_sharded.py",),
    ),
    Mutation(
        says="two modules may define one name",
        file=f"{MODELS}/flat.py",
        old="if defined.setdefault(known, module) != module:",
        new="if False:",
        tests=(f"{MODEL_TESTS}/test_flat.py",),
    ),
    Mutation(
        says="layers between are never normed",
        file=f"{MODELS}/hf_model.py",
        old="return [self._laid_out(self.norm(x) if norm else x, batch, format) for x in chosen]",
        new="return [self._laid_out(x, batch, format) for x in chosen]",
        tests=(f"{MODEL_TESTS}/test_hf.py::test_layers_between",),
    ),
    Mutation(
        says="a backbone's maps are one block late",
        file=f"{MODELS}/hf_backbone.py",
        old='self._laid_out(self.norm(states[i]), batch, "NCHW")[0] for i in self.out_indices',
        new='self._laid_out(self.norm(states[-1]), batch, "NCHW")[0] for i in self.out_indices',
        tests=(f"{MODEL_TESTS}/test_hf.py::test_a_backbone",),
    ),
    Mutation(
        says="frequencies stay as half precision rounded them",
        file=f"{MODELS}/hf_model.py",
        old="            model.freqs_cis_golden.copy_(model.golden())  # a checkpoint",
        new="            pass  # a checkpoint",
        tests=(f"{MODEL_TESTS}/test_hf.py::test_frequencies_that_were_rounded_are_made_anew",),
    ),
    Mutation(
        says="an attention map leaves the sink out",
        file=f"{MODELS}/attention_maps.py",
        old="torch.cat([scores_HNN.float(), column_HN1], dim=-1).softmax(-1)[..., :-1]",
        new="scores_HNN.float().softmax(-1)",
        tests=(f"{MODEL_TESTS}/test_hf.py::test_attentions_are_those_that_the_blocks_use",),
    ),
    Mutation(
        says="an export is not held against the student",
        file=f"{WEIGHTS}/reload.py",
        old="if not difference <= ALLOWED:",
        new="if False:",
        tests=(f"{WEIGHTS_TESTS}/test_reload.py",),
    ),
    Mutation(
        says="a program is given any grid",
        file=f"{WEIGHTS}/program.py",
        old='if about["grid"] is None and not (low <= min(rows, columns) and max(rows, columns) <= high):',
        new="if False:",
        tests=(f"{WEIGHTS_TESTS}/test_program.py",),
    ),
)

"""The published ``config.json``, flat, and the student's config that it stands for."""

from collections.abc import Mapping, Sequence
from typing import Any

import transformers
from transformers import PretrainedConfig

from .config import HeadConfig, SigLinoConfig

TRANSFORMERS = (4, 57), (6, 0)  # tested from the first on, below the second

FORMAT = 2  # of the folder; goes up when this code could no longer read a newer one
PUBLISHED = 1  # the format of students with published heads, which older code reads too
MIXTURE = {"num_experts": 28, "top_k": 6}
_INSTALLED = tuple(int(part) for part in transformers.__version__.split(".")[:2])
if not TRANSFORMERS[0] <= _INSTALLED < TRANSFORMERS[1]:
    raise ImportError(
        f"SigLino's students load with transformers 4.57 to 5.x; here is {transformers.__version__}. "
        'pip install "transformers>=4.57,<6"'
    )
ONLY = {"score_func": "sigmoid", "route_norm": False, "score_before_experts": False, "num_shared_experts": 0}


class SigLinoHFConfig(PretrainedConfig):
    """The published fields as keywords; the defaults are those of ``siglino-moe-0.3b``.

    Args:
        moe_args: of the mixture layers, ``num_experts`` and ``top_k`` among them; None for a dense model.
        teachers_dim: widths by teacher's name, or in the order of ``teachers``.
        pooled_teachers: whose summary comes from the teacher's own pooling head; the others' from CLS.
        teacher_heads: by teacher's name, ``form`` and ``layers`` of heads that are not the published ones
            (`siglino_core.models.config.HeadConfig`).
        siglino_format: of the folder; a newer one than this code knows is refused.
        out_indices, out_features: the stages that a backbone gives (`SigLinoBackbone`); its last if left out.

    Fields for video and for one attention kernel are kept and have no effect on images.
    """

    model_type = "siglino"
    attribute_map = {  # noqa: RUF012
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "patch_size": "spatial_patch_size",
        "num_channels": "channel_size",
    }

    def __init__(
        self,
        dim: int = 768,
        n_layers: int = 18,
        n_heads: int = 8,
        head_dim: int = 128,
        n_kv_heads: int | None = None,
        moe_dim: int = 384,
        moe_args: Mapping[str, Any] | None = MIXTURE,
        first_n_layers_dense: int = 0,
        ffn_dim: int = 0,
        activation: str = "silu",
        channel_size: int = 3,
        spatial_patch_size: int = 16,
        temporal_patch_size: int = 1,
        enable_3d_rope: bool = True,
        rope_theta: float = 10000.0,
        rope_min_freqs: float = 1.0,
        rope_max_freqs: float = 20.0,
        max_seq_len: int = 4096,
        norm_eps: float = 1e-5,
        use_qk_norm: bool = True,
        use_tok_norm: bool = False,
        parameterized_norm: bool = True,
        n_storage_tokens: int = 4,
        teachers: Sequence[str] = ("siglip2", "dinov3"),
        teachers_dim: Mapping[str, int] | Sequence[int] = (1152, 1024),
        pooled_teachers: Sequence[str] = ("siglip2",),
        use_flex_attn: bool = True,
        out_indices: Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        teacher_heads: Mapping[str, Mapping[str, Any]] | None = None,
        siglino_format: int = PUBLISHED,
        **kwargs: Any,
    ) -> None:
        if siglino_format > FORMAT:
            raise ValueError(
                f"config.json is of format {siglino_format}, and this code reads up to {FORMAT}. Take the code files "
                "that were exported with it, or a newer SigLino."
            )
        self.siglino_format = siglino_format
        self.dim, self.n_layers, self.n_heads, self.head_dim = dim, n_layers, n_heads, head_dim
        self.n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        self.moe_dim, self.moe_args = moe_dim, dict(moe_args) if moe_args is not None else None
        self.first_n_layers_dense, self.ffn_dim, self.activation = first_n_layers_dense, ffn_dim, activation
        self.channel_size, self.spatial_patch_size = channel_size, spatial_patch_size
        self.temporal_patch_size, self.enable_3d_rope, self.rope_theta = temporal_patch_size, enable_3d_rope, rope_theta
        self.rope_min_freqs, self.rope_max_freqs, self.max_seq_len = rope_min_freqs, rope_max_freqs, max_seq_len
        self.norm_eps, self.use_qk_norm, self.use_tok_norm = norm_eps, use_qk_norm, use_tok_norm
        self.parameterized_norm, self.n_storage_tokens = parameterized_norm, n_storage_tokens
        self.teachers = list(teachers)
        self.teachers_dim = dict(teachers_dim) if isinstance(teachers_dim, Mapping) else list(teachers_dim)
        self.pooled_teachers = list(pooled_teachers)
        if teacher_heads:  # else no field: a config of published heads is as it always was
            self.teacher_heads = {name: dict(head) for name, head in teacher_heads.items()}
        self.use_flex_attn = use_flex_attn
        self.out_indices: Any = list(out_indices) if isinstance(out_indices, tuple) else out_indices
        self.out_features: Any = list(out_features) if isinstance(out_features, tuple) else out_features
        super().__init__(**kwargs)

    @classmethod
    def of(cls, student: SigLinoConfig, **kwargs: Any) -> "SigLinoHFConfig":
        """The flat form of a student's config."""
        moe = {"num_experts": student.experts, "top_k": student.top_k, "route_scale": 1.0, "activation": "silu"}
        heads = {t.name: {"form": t.form, "layers": list(t.layers)} for t in student.teachers if _own(t)}
        return cls(
            dim=student.width,
            n_layers=student.layers,
            n_heads=student.heads,
            head_dim=student.head_dim,
            moe_dim=student.expert_hidden,
            moe_args={**moe, **ONLY} if student.experts else None,
            first_n_layers_dense=student.dense_layers if student.experts else student.layers,
            ffn_dim=student.hidden,
            channel_size=student.channels,
            spatial_patch_size=student.patch_size,
            rope_min_freqs=student.rope_min,
            rope_max_freqs=student.rope_max,
            norm_eps=student.norm_eps,
            parameterized_norm=student.norm_weights,
            n_storage_tokens=student.registers,
            teachers=[t.name for t in student.teachers],
            teachers_dim={t.name: t.dim for t in student.teachers},
            pooled_teachers=[t.name for t in student.teachers if t.pooled],
            teacher_heads=heads or None,
            siglino_format=FORMAT if heads else PUBLISHED,
            **kwargs,
        )

    def spec(self) -> SigLinoConfig:
        """The student's config.

        Raises:
            ValueError: a field asks for what no published model has; the message names it and its only value.
        """
        moe = self.moe_args or {}
        only = {
            "n_kv_heads": (self.n_kv_heads, self.n_heads),
            "use_qk_norm": (self.use_qk_norm, True),
            "use_tok_norm": (self.use_tok_norm, False),
            "activation": (self.activation, "silu"),
            "temporal_patch_size": (self.temporal_patch_size, 1),
            "moe_args.activation": (moe.get("activation", "silu"), "silu"),
            "moe_args.route_scale": (moe.get("route_scale", 1.0), 1.0),
        } | {f"moe_args.{k}": (moe.get(k, v), v) for k, v in ONLY.items()}
        wrong = [f"{k}={value!r} (only {one!r})" for k, (value, one) in only.items() if value != one]
        if wrong:
            raise ValueError(f"config.json: this model has no such form: {', '.join(wrong)}")
        dims = self.teachers_dim
        if not isinstance(dims, dict):
            dims = dict(zip(self.teachers, dims, strict=False))
        if missing := [t for t in self.teachers if t not in dims]:
            raise ValueError(f"config.json: teachers_dim has no width for {', '.join(missing)}")
        heads = getattr(self, "teacher_heads", {})
        if unknown := [t for t in heads if t not in self.teachers]:
            raise ValueError(f"config.json: teacher_heads of {', '.join(unknown)}, not of teachers={self.teachers}")
        dense = self.moe_args is None or not moe.get("num_experts") or self.first_n_layers_dense >= self.n_layers
        mixture = {} if dense else {"experts": moe["num_experts"], "top_k": moe["top_k"]}
        return SigLinoConfig(
            width=self.dim,
            layers=self.n_layers,
            heads=self.n_heads,
            head_dim=self.head_dim,
            hidden=self.ffn_dim,
            **mixture,
            expert_hidden=0 if dense else self.moe_dim,
            dense_layers=0 if dense else self.first_n_layers_dense,
            norm_weights=self.parameterized_norm,
            norm_eps=self.norm_eps,
            registers=self.n_storage_tokens,
            patch_size=self.spatial_patch_size,
            channels=self.channel_size,
            rope_min=self.rope_min_freqs,
            rope_max=self.rope_max_freqs,
            teachers=tuple(
                HeadConfig(
                    name=t,
                    dim=dims[t],
                    pooled=t in self.pooled_teachers,
                    form=heads.get(t, {}).get("form", "mlp"),
                    layers=tuple(heads.get(t, {}).get("layers", ())),
                )
                for t in self.teachers
            ),
        )


def _own(t: HeadConfig) -> bool:
    """Whether a head is not the published one."""
    return t.form != "mlp" or bool(t.layers)

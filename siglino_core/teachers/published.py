"""The paper's teachers, by their published shapes: a plan is priced without fetching gigabytes of weights."""

from siglino_core.teachers.choose import describe_teacher
from siglino_core.teachers.teacher import TeacherCard

# (name, width, layers, hidden width of the MLP, registers, pooled)
PUBLISHED = {
    "siglip2:google/siglip2-so400m-patch16-naflex": ("siglip2", 1152, 27, 4304, 0, True),
    "dinov3:facebook/dinov3-vitl16-pretrain-lvd1689m": ("dinov3", 1024, 24, 4096, 4, False),
}


def card_of(spec: str) -> TeacherCard:
    """A teacher's card, for prices alone: the paper's are known without their weights."""
    if spec not in PUBLISHED:
        return describe_teacher(spec)
    from siglino_core.teachers.packed import vit_flops  # here: transformers takes seconds

    name, dim, layers, hidden, registers, pooled = PUBLISHED[spec]
    sizes = {"hidden_size": dim, "num_hidden_layers": layers, "intermediate_size": hidden}
    linear, quadratic = vit_flops(sizes)
    return TeacherCard(
        name=name,
        dim=dim,
        identity="published",
        pooled=pooled,
        registers=registers,
        linear_flops=linear,
        quadratic_flops=quadratic,
    )

"""A module with the student's parameter names, small enough to train in a blink."""

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.sinks = nn.Parameter(torch.zeros(2))

    def forward(self, x_TD: Tensor) -> Tensor:
        mixed = (self.wq(x_TD) @ self.wk(x_TD).T * self.sinks.mean().sigmoid()).softmax(-1)
        return self.wo(mixed @ self.wv(x_TD))


class Experts(nn.Module):
    def __init__(self, experts: int, hidden: int, width: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Parameter(torch.randn(experts, hidden, width) / width**0.5) for _ in range(2))
        self.w2 = nn.Parameter(torch.randn(experts, width, hidden) / hidden**0.5)


class MoE(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = Experts(5, 12, width)
        self.router = nn.ModuleDict({"gate": nn.Linear(width, 5, bias=False)})
        self.register_buffer("expert_bias", torch.zeros(5))

    def forward(self, x_TD: Tensor) -> Tensor:
        gate_TE = self.router["gate"](x_TD).sigmoid()
        h_TEF = torch.einsum("td,efd->tef", x_TD, self.experts.w1)
        h_TEF = nn.functional.silu(h_TEF) * torch.einsum("td,efd->tef", x_TD, self.experts.w3)
        return torch.einsum("tef,edf,te->td", h_TEF, self.experts.w2, gate_TE)


class Dense(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1, self.w3 = (nn.Linear(width, 2 * width, bias=False) for _ in range(2))
        self.w2 = nn.Linear(2 * width, width, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.w2(nn.functional.silu(self.w1(x_TD)) * self.w3(x_TD))


class Layer(nn.Module):
    def __init__(self, width: int, moe: bool) -> None:
        super().__init__()
        self.attention = Attention(width)
        self.attention_norm, self.ffn_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        if moe:
            self.moe = MoE(width)
        else:
            self.feed_forward = Dense(width)

    def forward(self, x_TD: Tensor) -> Tensor:
        x_TD = x_TD + self.attention(self.attention_norm(x_TD))
        return x_TD + (self.moe if hasattr(self, "moe") else self.feed_forward)(self.ffn_norm(x_TD))


class Adapter(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.fc1, self.norm, self.fc2 = nn.Linear(width, out), nn.LayerNorm(out), nn.Linear(out, out, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.norm(self.fc1(x_TD))))


class PoolingHead(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.randn(1, 1, width))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)


class Student(nn.Module):
    """One MoE and one dense layer; patches [T, 12] to features [T + 5, 20]."""

    def __init__(self, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.storage_tokens = nn.Parameter(torch.randn(1, 4, width))
        self.img_projector = nn.Linear(12, width, bias=False)
        self.layers = nn.ModuleDict({"0": Layer(width, moe=True), "1": Layer(width, moe=False)})
        self.norm = nn.RMSNorm(width)
        self.dinov3_adapter = Adapter(width, 20)
        self.layer_norm_dinov3 = nn.LayerNorm(20).requires_grad_(False)
        self.siglip2_multihead_attention_pooling_head = PoolingHead(20).requires_grad_(False)
        self.register_buffer("freqs_cis_golden", torch.ones(2, 4, 2))

    def forward(self, patches_TP: Tensor) -> Tensor:
        x_TD = torch.cat([self.cls_token[0], self.storage_tokens[0], self.img_projector(patches_TP)])
        for layer in self.layers.values():
            x_TD = layer(x_TD)
        return self.dinov3_adapter(self.norm(x_TD))


def loss_of(model: nn.Module, step: int) -> Tensor:
    """The squared error of a fixed map of the patches, on data that belongs to the step."""
    patches_TP = torch.randn(32, 12, generator=torch.Generator().manual_seed(step))
    target_TO = torch.sin(patches_TP @ torch.linspace(-1, 1, 240).reshape(12, 20))
    return (model(patches_TP)[5:] - target_TO).square().mean()

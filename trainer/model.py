"""A compact forward pass over Qwen3 weights, for training and for whole-sequence log-probabilities.

The parameter names are those of transformers' `Qwen3ForCausalLM`; a test holds the logits equal to it. Not covered:
caches (see `engine`), dropout, sliding windows. The output projection's bias is left out: it stays zero, because
vLLM's Qwen3 has none and would drop a trained one in silence.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from trainer.config import PolicyConfig

NORM_EPS = 1e-6
EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"

Weights = Mapping[str, torch.Tensor]


def parameter_shapes(config: PolicyConfig) -> dict[str, tuple[int, ...]]:
    """Trained parameters: vectors and the embedding first, then the matrices, equal shapes side by side.

    The order lets an optimizer see all matrices of one shape as a single stacked tensor.
    """
    hidden, mlp = config.hidden_size, config.mlp_size
    q_size, kv_size = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    vectors: dict[str, tuple[int, ...]] = {
        "input_layernorm.weight": (hidden,),
        "post_attention_layernorm.weight": (hidden,),
        "self_attn.q_norm.weight": (config.head_dim,),
        "self_attn.k_norm.weight": (config.head_dim,),
        "self_attn.q_proj.bias": (q_size,),
        "self_attn.k_proj.bias": (kv_size,),
        "self_attn.v_proj.bias": (kv_size,),
    }
    matrices: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj.weight": (q_size, hidden),
        "self_attn.k_proj.weight": (kv_size, hidden),
        "self_attn.v_proj.weight": (kv_size, hidden),
        "self_attn.o_proj.weight": (hidden, q_size),
        "mlp.gate_proj.weight": (mlp, hidden),
        "mlp.up_proj.weight": (mlp, hidden),
        "mlp.down_proj.weight": (hidden, mlp),
    }
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (config.vocab_size, hidden), FINAL_NORM: (hidden,)}
    shapes |= {f"model.layers.{i}.{name}": shape for i in range(config.n_layers) for name, shape in vectors.items()}
    stacked = {f"model.layers.{i}.{name}": shape for i in range(config.n_layers) for name, shape in matrices.items()}
    return shapes | dict(sorted(stacked.items(), key=lambda item: item[1]))


def is_matrix(name: str) -> bool:
    """Whether Muon may take the parameter: a projection, not the embedding, a norm or a bias."""
    return name.endswith("_proj.weight")


def layer_weights(weights: Weights, layer: int) -> dict[str, torch.Tensor]:
    """The parameters of one block by short name, with q/k/v and gate/up fused into one matrix each."""
    prefix = f"model.layers.{layer}."
    qkv = [f"{prefix}self_attn.{name}_proj" for name in "qkv"]
    return {
        "input_norm": weights[prefix + "input_layernorm.weight"],
        "mlp_norm": weights[prefix + "post_attention_layernorm.weight"],
        "q_norm": weights[prefix + "self_attn.q_norm.weight"],
        "k_norm": weights[prefix + "self_attn.k_norm.weight"],
        "qkv": torch.cat([weights[name + ".weight"] for name in qkv]),
        "qkv_bias": torch.cat([weights[name + ".bias"] for name in qkv]),
        "out": weights[prefix + "self_attn.o_proj.weight"],
        "gate_up": torch.cat([weights[prefix + f"mlp.{name}_proj.weight"] for name in ("gate", "up")]),
        "down": weights[prefix + "mlp.down_proj.weight"],
    }


def rope_tables(config: PolicyConfig, n_positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary embedding, both [n_positions, head_dim]."""
    exponent = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(n_positions, dtype=torch.float32), 1.0 / config.rope_theta**exponent)
    return torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()


def rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Root-mean-square norm over the last axis, in the input's type."""
    return F.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), NORM_EPS)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of queries or keys [..., head_dim]."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * cos + turned * sin


def _attention(
    x: torch.Tensor, block: dict[str, torch.Tensor], config: PolicyConfig, rope: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    n_rows, width = x.shape[:2]
    qkv = F.linear(rms_norm(x, block["input_norm"]), block["qkv"], block["qkv_bias"])
    heads = qkv.view(n_rows, width, -1, config.head_dim)
    q, k, v = heads.split([config.n_heads, config.n_kv_heads, config.n_kv_heads], 2)
    cos, sin = (table.to(q.dtype) for table in rope)
    q = rotate(rms_norm(q, block["q_norm"]).transpose(1, 2), cos, sin)
    k = rotate(rms_norm(k, block["k_norm"]).transpose(1, 2), cos, sin)
    shared = config.n_heads != config.n_kv_heads
    mixed = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True, enable_gqa=shared)
    return F.linear(mixed.transpose(1, 2).reshape(n_rows, width, -1), block["out"])


def forward_hidden(weights: Weights, config: PolicyConfig, ids_BT: torch.Tensor) -> torch.Tensor:
    """Final hidden states [B, T, hidden] of right-padded sequences (attention is causal: padding is never seen)."""
    x = F.embedding(ids_BT, weights[EMBEDDING])
    rope = rope_tables(config, ids_BT.shape[1])
    for layer in range(config.n_layers):
        block = layer_weights(weights, layer)
        x = x + _attention(x, block, config, rope)
        gate, up = F.linear(rms_norm(x, block["mlp_norm"]), block["gate_up"]).chunk(2, -1)
        x = x + F.linear(F.silu(gate) * up, block["down"])
    return rms_norm(x, weights[FINAL_NORM])


def masked_logits(
    weights: Weights, config: PolicyConfig, ids_BT: torch.Tensor, mask_BT: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (float32 [N, vocab]) that predict the masked tokens, and those tokens [N], in row order.

    The output layer runs only where it is needed. A mask on position 0 is ignored: nothing predicts it.
    """
    hidden = forward_hidden(weights, config, ids_BT)
    wanted = mask_BT[:, 1:]
    return F.linear(hidden[:, :-1][wanted], weights[EMBEDDING]).float(), ids_BT[:, 1:][wanted]

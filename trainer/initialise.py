"""First weights of the policy, with a copy circuit built in. Every weight stays trainable.

Copying ids out of tool results is what a tiny policy learns last (EMBEDDED: the induction heads form after 0.6M
tokens of warm-up with a smeared embedding and far later without). A stock Qwen3 can *start* with them:

- Layer 0, all heads: previous-token heads. Zero query and key weights, the position-free key is a constant bias b and
  the query's bias is b turned back by d positions, so the score depends on distance alone and peaks at d.
- The embedding uses the first half of the residual stream. Heads 0 and 1 (d = 1) write the previous token's embedding
  into the second half.
- Layer 1, heads 0 and 1: induction. The query reads this token, the key reads the previous token, the value reads this
  token: attention falls on the token after an earlier occurrence of the current one, and writes it to the output.
"""

import math

import torch

from trainer.config import PolicyConfig
from trainer.model import EMBEDDING, parameter_shapes

EMBEDDING_STD = 0.09
"""About 1 / sqrt(128): a token's embedding has length 1, logits start in single digits."""
OUTPUT_SCALE = 0.02
"""Matrices that write to the residual stream start near zero: with unit scale their noise drowned the circuit."""
POSITION_ENERGY = (0.4, 0.3, 0.2, 0.1)
"""Shares of the four fastest RoPE pairs in the positional key: the sharpest of those tried."""
POSITION_GAIN = 1.6
"""Query and key norm weight on those pairs: 0.73 of the attention on the wanted distance; 1.8 trains no better."""
CONTENT_GAIN = 2.1
"""Norm weight of the induction layer on its slow pairs: 93 / 90 / 72 % copied right at 12 / 40 / 80 records."""
FAST_GAIN = 0.3
"""Norm weight on the pairs that turn too fast to match content at a distance."""
N_FAST_PAIRS = 6
"""Pairs counted as fast at theta 1e6 and head_dim 32."""
DISTANCES = (1, 1, 2, 3)
"""Tokens back that each head of layer 0 looks; further heads repeat the pattern."""


def initial_weights(config: PolicyConfig, seed: int) -> dict[str, torch.Tensor]:
    """Weights by name (`parameter_shapes`), deterministic in (config, seed)."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in parameter_shapes(config).items():
        if name.endswith("norm.weight"):
            weights[name] = torch.ones(shape)
        elif name.endswith("bias"):
            weights[name] = torch.zeros(shape)
        else:
            std = EMBEDDING_STD if name == EMBEDDING else shape[-1] ** -0.5
            scale = OUTPUT_SCALE if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
            weights[name] = torch.randn(shape, generator=generator) * (std * scale)
    if config.initialisation != "random":
        _build_position_heads(weights, config)
    if config.initialisation == "previous_token":
        out = weights["model.layers.0.self_attn.o_proj.weight"]
        out.copy_(torch.randn(out.shape, generator=generator) * EMBEDDING_STD)
    if config.initialisation == "induction":
        _build_previous_token_writer(weights, config)
        _build_induction_heads(weights, config)
    return weights


def _build_position_heads(weights: dict[str, torch.Tensor], config: PolicyConfig) -> None:
    """Make every head of layer 0 attend a fixed number of tokens back."""
    head_dim, half = config.head_dim, config.head_dim // 2
    n_pairs = min(len(POSITION_ENERGY), half)
    energy = torch.zeros(half)
    energy[:n_pairs] = torch.tensor(POSITION_ENERGY[:n_pairs])
    length = (energy / energy.sum() * head_dim).sqrt()
    frequency = 1.0 / config.rope_theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    prefix = "model.layers.0.self_attn."
    for kind in ("q", "k"):
        weights[f"{prefix}{kind}_proj.weight"].zero_()
        norm = weights[f"{prefix}{kind}_norm.weight"]
        norm[:n_pairs] = POSITION_GAIN
        norm[half : half + n_pairs] = POSITION_GAIN
    weights[prefix + "k_proj.bias"].copy_(torch.cat([length, torch.zeros(half)]).repeat(config.n_kv_heads))
    for head in range(config.n_heads):
        angle = -DISTANCES[head % len(DISTANCES)] * frequency
        query = torch.cat([length * angle.cos(), length * angle.sin()])
        weights[prefix + "q_proj.bias"][head * head_dim : (head + 1) * head_dim] = query


def _copy_head_index(config: PolicyConfig, part: int) -> int:
    """The query head that carries half `part` of the embedding; the two need different key/value heads."""
    return part * (config.n_heads // config.n_kv_heads)


def _build_previous_token_writer(weights: dict[str, torch.Tensor], config: PolicyConfig) -> None:
    """Let two distance-1 heads write the previous token's embedding into the second half of the stream."""
    head_dim, prefix = config.head_dim, "model.layers.0.self_attn."
    weights[EMBEDDING][:, 2 * head_dim : 4 * head_dim] = 0.0
    identity = torch.eye(head_dim)
    for part in range(2):
        head = _copy_head_index(config, part)
        kv_rows = slice(part * head_dim, (part + 1) * head_dim)
        head_columns = slice(head * head_dim, (head + 1) * head_dim)
        source = slice(part * head_dim, (part + 1) * head_dim)
        target = slice((2 + part) * head_dim, (3 + part) * head_dim)
        value, out = weights[prefix + "v_proj.weight"], weights[prefix + "o_proj.weight"]
        value[kv_rows] = 0.0
        value[kv_rows, source] = identity
        out[:, head_columns] = 0.0
        out[target, head_columns] = identity * (EMBEDDING_STD * math.sqrt(0.5))
        query_bias = weights[prefix + "q_proj.bias"]
        query_bias[head_columns] = query_bias[:head_dim].clone()


def _build_induction_heads(weights: dict[str, torch.Tensor], config: PolicyConfig) -> None:
    """Make two heads of layer 1 find the token after an earlier occurrence of the current one and repeat it."""
    head_dim, half, prefix = config.head_dim, config.head_dim // 2, "model.layers.1.self_attn."
    slow = torch.arange(half) >= min(N_FAST_PAIRS, half // 2)
    gain = torch.where(slow, CONTENT_GAIN, FAST_GAIN).repeat(2)
    for kind in ("q", "k"):
        weights[f"{prefix}{kind}_norm.weight"].copy_(gain)
    identity = torch.eye(head_dim)
    for part in range(2):
        head = _copy_head_index(config, part)
        q_rows = slice(head * head_dim, (head + 1) * head_dim)
        kv_rows = slice(part * head_dim, (part + 1) * head_dim)
        token = slice(part * head_dim, (part + 1) * head_dim)
        previous = slice((2 + part) * head_dim, (3 + part) * head_dim)
        for kind, rows, columns in (("q", q_rows, token), ("k", kv_rows, previous), ("v", kv_rows, token)):
            matrix = weights[f"{prefix}{kind}_proj.weight"]
            matrix[rows] = 0.0
            matrix[rows, columns] = identity
        out = weights[prefix + "o_proj.weight"]
        out[:, q_rows] = 0.0
        out[token, q_rows] = identity * (2 * EMBEDDING_STD)

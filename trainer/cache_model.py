"""Incremental forward pass with a key/value cache, for the engine: no autograd, fused and pre-transposed weights.

Same numbers as `model.forward_hidden` up to rounding (tested). One call appends a chunk of tokens to some slots; a
chunk of one token for all slots is a decoding step.
"""

import numpy as np
import torch
import torch.nn.functional as F

from trainer.config import PolicyConfig
from trainer.model import EMBEDDING, FINAL_NORM, Weights, layer_weights, rms_norm, rope_tables, rotate

MASKED = -1e30


class CacheModel:
    """The policy's weights and the caches of `n_slots` sequences."""

    def __init__(self, weights: Weights, config: PolicyConfig, n_slots: int, max_tokens: int) -> None:
        """Fuse the weights and reserve the caches (memory is taken as positions are written)."""
        self.config, self.n_slots = config, n_slots
        plain = {name: tensor.detach() for name, tensor in weights.items()}
        self.embedding, self.final_norm = plain[EMBEDDING], plain[FINAL_NORM]
        self.blocks = [layer_weights(plain, layer) for layer in range(config.n_layers)]
        for block in self.blocks:
            for name in ("qkv", "out", "gate_up", "down"):
                block[name] = block[name].T.contiguous()
        self.cos, self.sin = rope_tables(config, max_tokens)
        shape = (config.n_layers, n_slots, config.n_kv_heads, max_tokens, config.head_dim)
        # Zeros, not empty: a masked value is multiplied by probability 0, and 0 x NaN is NaN. Through numpy, since
        # torch.zeros touches all 200 MB at once (0.3 s a call) where calloc hands out pages as they are used.
        self.keys, self.values = (torch.from_numpy(np.zeros(shape, np.float32)) for _ in range(2))

    def keep(self, slots: torch.Tensor) -> None:
        """Shrink to these slots, in this order: the last long episodes shouldn't pay for empty ones."""
        self.keys, self.values = self.keys[:, slots].contiguous(), self.values[:, slots].contiguous()
        self.n_slots = len(slots)

    def decode(self, ids_B: torch.Tensor, positions_B: torch.Tensor) -> torch.Tensor:
        """Append one token to every slot; returns logits [n_slots, vocab].

        An idle slot may pass any token at its next position: what it writes there is overwritten when it goes on.
        """
        slots = torch.arange(self.n_slots)
        hidden = self._forward(slots, ids_B[:, None], positions_B[:, None], None)
        return F.linear(hidden[:, 0], self.embedding)

    def append(
        self, slots_N: torch.Tensor, ids_NC: torch.Tensor, starts_N: torch.Tensor, lengths_N: torch.Tensor
    ) -> torch.Tensor:
        """Append right-padded chunks to some slots; returns logits [N, vocab] after each chunk's last token."""
        offsets = torch.arange(ids_NC.shape[1])
        positions_NC = starts_N[:, None] + offsets
        valid_NC = offsets < lengths_N[:, None]
        positions_NC = torch.where(valid_NC, positions_NC, starts_N[:, None])
        hidden = self._forward(slots_N, ids_NC, positions_NC, valid_NC)
        return F.linear(hidden[torch.arange(len(slots_N)), lengths_N - 1], self.embedding)

    def _forward(
        self, slots: torch.Tensor, ids_NC: torch.Tensor, positions_NC: torch.Tensor, valid_NC: torch.Tensor | None
    ) -> torch.Tensor:
        """Hidden states [N, C, hidden]; with valid_NC None all tokens count and `slots` are all slots in order."""
        longest = int(positions_NC.max()) + 1
        visible = torch.arange(longest) <= positions_NC[..., None]
        bias = torch.zeros(visible.shape).masked_fill_(~visible, MASKED)
        rope = (self.cos[positions_NC].unsqueeze(2), self.sin[positions_NC].unsqueeze(2))
        x = F.embedding(ids_NC, self.embedding)
        for layer, block in enumerate(self.blocks):
            x = x + self._attend(layer, x, block, slots, positions_NC, valid_NC, bias, rope, longest)
            gate, up = (rms_norm(x, block["mlp_norm"]) @ block["gate_up"]).chunk(2, -1)
            x = x + (F.silu(gate) * up) @ block["down"]
        return rms_norm(x, self.final_norm)

    def _attend(
        self,
        layer: int,
        x: torch.Tensor,
        block: dict[str, torch.Tensor],
        slots: torch.Tensor,
        positions_NC: torch.Tensor,
        valid_NC: torch.Tensor | None,
        bias_NCL: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        longest: int,
    ) -> torch.Tensor:
        config = self.config
        n, c = x.shape[:2]
        n_kv, per_kv = config.n_kv_heads, config.n_heads // config.n_kv_heads
        qkv = rms_norm(x, block["input_norm"]) @ block["qkv"] + block["qkv_bias"]
        q, k, v = qkv.view(n, c, -1, config.head_dim).split([config.n_heads, n_kv, n_kv], 2)
        q, k = rotate(rms_norm(q, block["q_norm"]), *rope), rotate(rms_norm(k, block["k_norm"]), *rope)
        keys, values = self.keys[layer], self.values[layer]
        if valid_NC is None:
            keys[slots, :, positions_NC[:, 0]] = k[:, 0]
            values[slots, :, positions_NC[:, 0]] = v[:, 0]
            keys, values = keys[:, :, :longest], values[:, :, :longest]
        else:
            owner = slots[:, None].expand(n, c)[valid_NC]
            keys[owner, :, positions_NC[valid_NC]] = k[valid_NC]
            values[owner, :, positions_NC[valid_NC]] = v[valid_NC]
            keys, values = keys[:, :, :longest][slots], values[:, :, :longest][slots]
        q = q.view(n, c, n_kv, per_kv, config.head_dim).permute(0, 2, 3, 1, 4).reshape(n, n_kv, per_kv * c, -1)
        scores = torch.matmul(q * config.head_dim**-0.5, keys.mT) + bias_NCL.repeat(1, per_kv, 1)[:, None]
        mixed = torch.matmul(scores.softmax(-1), values).view(n, n_kv, per_kv, c, config.head_dim)
        return mixed.permute(0, 3, 1, 2, 4).reshape(n, c, -1) @ block["out"]

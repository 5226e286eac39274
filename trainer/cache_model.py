"""Incremental forward pass with a key/value cache, for the engine: no autograd, fused and pre-transposed weights.

Same numbers as `model.forward_hidden` up to rounding (tested). A decoding step appends one token to every slot; other
calls append chunks of any lengths to some slots. Tokens are packed, never padded: only attention knows of slots.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from trainer.config import PolicyConfig
from trainer.model import EMBEDDING, FINAL_NORM, Weights, layer_weights, rms_norm, rope_tables, rotate

MASKED = -1e30

Mix = Callable[[int, torch.Tensor], torch.Tensor]
"""(layer, queries [T, heads, head_dim]) -> attention's output [T, heads x head_dim]."""


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

    def keep(self, slots: torch.Tensor, n_tokens: int) -> None:
        """Shrink to these slots, in this order, and what they hold in their first n_tokens positions."""
        self.n_slots = len(slots)
        for cache in (*self.keys, *self.values):
            cache[: self.n_slots, :, :n_tokens] = cache[slots, :, :n_tokens]
        self.keys, self.values = self.keys[:, : self.n_slots], self.values[:, : self.n_slots]

    def decode(self, ids_B: torch.Tensor, positions_B: torch.Tensor) -> torch.Tensor:
        """Append one token to every slot; returns logits [n_slots, vocab].

        An idle slot may pass any token at its next position: what it writes there is overwritten when it goes on.
        """
        longest = int(positions_B.max()) + 1
        hidden_from = torch.arange(longest) > positions_B[:, None]
        bias_BL = torch.zeros(hidden_from.shape).masked_fill_(hidden_from, MASKED)
        hidden = self._forward(
            ids_B, torch.arange(self.n_slots), positions_B, lambda layer, q: self._attend_all(layer, q, bias_BL)
        )
        return F.linear(hidden, self.embedding)

    def append(self, slots: Sequence[int], chunks: Sequence[Sequence[int]], starts: Sequence[int]) -> torch.Tensor:
        """Append a chunk to each of some slots at its start position; returns logits [N, vocab] after the chunks."""
        lengths = [len(chunk) for chunk in chunks]
        ids_T = torch.tensor([token for chunk in chunks for token in chunk])
        slots_T = torch.repeat_interleave(torch.tensor(slots), torch.tensor(lengths))
        positions_T = torch.cat([torch.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)])
        ends = np.cumsum(lengths).tolist()
        parts = [
            (slot, end - n, end, torch.ones(n, start + n, dtype=torch.bool).tril_(start))
            for slot, n, start, end in zip(slots, lengths, starts, ends, strict=True)
        ]
        hidden = self._forward(ids_T, slots_T, positions_T, lambda layer, q: self._attend_each(layer, q, parts))
        return F.linear(hidden[torch.tensor(ends) - 1], self.embedding)

    def _forward(self, ids_T: torch.Tensor, slots_T: torch.Tensor, positions_T: torch.Tensor, mix: Mix) -> torch.Tensor:
        """Hidden states [T, hidden] of packed tokens, each at its place of its slot; their keys and values stay."""
        config = self.config
        sizes = [config.n_heads, config.n_kv_heads, config.n_kv_heads]
        rope = (self.cos[positions_T].unsqueeze(1), self.sin[positions_T].unsqueeze(1))
        x = F.embedding(ids_T, self.embedding)
        for layer, block in enumerate(self.blocks):
            qkv = torch.addmm(block["qkv_bias"], rms_norm(x, block["input_norm"]), block["qkv"])
            q, k, v = qkv.view(len(x), -1, config.head_dim).split(sizes, 1)
            q, k = rotate(rms_norm(q, block["q_norm"]), *rope), rotate(rms_norm(k, block["k_norm"]), *rope)
            self.keys[layer][slots_T, :, positions_T] = k
            self.values[layer][slots_T, :, positions_T] = v
            x = torch.addmm(x, mix(layer, q), block["out"])
            gate, up = (rms_norm(x, block["mlp_norm"]) @ block["gate_up"]).chunk(2, -1)
            x = torch.addmm(x, F.silu(gate).mul_(up), block["down"])
        return rms_norm(x, self.final_norm)

    def _attend_all(self, layer: int, q: torch.Tensor, bias_BL: torch.Tensor) -> torch.Tensor:
        """One query per slot, all slots in one product over the longest of them."""
        config, longest = self.config, bias_BL.shape[1]
        keys, values = self.keys[layer][:, :, :longest], self.values[layer][:, :, :longest]
        q = q.view(len(q), config.n_kv_heads, -1, config.head_dim) * config.head_dim**-0.5
        scores = torch.matmul(q, keys.mT).add_(bias_BL[:, None, None])
        return torch.matmul(scores.softmax(-1), values).view(len(q), -1)

    def _attend_each(
        self, layer: int, q: torch.Tensor, parts: Sequence[tuple[int, int, int, torch.Tensor]]
    ) -> torch.Tensor:
        """Slot after slot over just what it holds: one padded product cost four times as much, most of it copies."""
        mixed = torch.empty_like(q)
        for slot, begin, end, visible in parts:
            keys, values = (cache[layer, slot, None, :, : visible.shape[1]] for cache in (self.keys, self.values))
            shared = self.config.n_heads != self.config.n_kv_heads
            found = F.scaled_dot_product_attention(
                q[None, begin:end].transpose(1, 2), keys, values, attn_mask=visible, enable_gqa=shared
            )
            mixed[begin:end] = found[0].transpose(0, 1)
        return mixed.view(len(q), -1)

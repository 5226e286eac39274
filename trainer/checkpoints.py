"""Checkpoint folders: safetensors, tokenizer, Qwen3 config, and a manifest written last.

A folder appears by one rename and only whole. `checkpoint_id` is a hash of the config and the weights, so the same
training gives the same id anywhere; times and paths are not part of it. Transformers' `AutoModelForCausalLM` and
`AutoTokenizer` read the folder as it is. Nothing is pickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from schemas.errors import CheckpointError
from trainer.config import PolicyConfig
from trainer.model import parameter_shapes
from trainer.tokenizer import PolicyTokenizer

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
N_ID_DIGITS = 16


class Manifest(BaseModel):
    """What a checkpoint says about itself; the fields of `schemas.records.Checkpoint` but its path, and its sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_id: str = Field(min_length=1)
    policy: str = Field(min_length=1)
    kind: str
    """base, sft or rl."""
    parent_checkpoint_id: str | None = None
    n_parameters: int = Field(ge=1)
    seed: int = Field(ge=0)
    n_steps: int = Field(ge=0)
    pool_version: int | None = None
    policy_config: PolicyConfig
    tokenizer_sha256: str
    """Of tokenizer.json: another tokenizer would read other words from the same ids."""


class LoadedCheckpoint(NamedTuple):
    """A checkpoint in memory."""

    weights: dict[str, torch.Tensor]
    tokenizer: PolicyTokenizer
    manifest: Manifest


def checkpoint_id(weights: Mapping[str, torch.Tensor], config: PolicyConfig) -> str:
    """`ck-` and 16 hex digits of SHA-256 over the config and every weight's name, shape and float32 bytes."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    for name in sorted(parameter_shapes(config)):
        tensor = weights[name].detach().contiguous().float()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return f"ck-{digest.hexdigest()[:N_ID_DIGITS]}"


def save_checkpoint(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    config: PolicyConfig,
    tokenizer: PolicyTokenizer,
    *,
    policy: str,
    kind: str,
    seed: int,
    n_steps: int,
    parent_checkpoint_id: str | None = None,
    pool_version: int | None = None,
) -> Manifest:
    """Write a checkpoint, replacing one that stands there, by a rename at the end.

    Raises:
        CheckpointError: when the weights don't have the config's names and shapes, or aren't finite.
    """
    _check_weights(weights, config, str(folder))
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_model(draft, weights, config)
        tokenizer.save(draft)
        manifest = Manifest(
            checkpoint_id=checkpoint_id(weights, config),
            policy=policy,
            kind=kind,
            parent_checkpoint_id=parent_checkpoint_id,
            n_parameters=sum(weights[name].numel() for name in parameter_shapes(config)),
            seed=seed,
            n_steps=n_steps,
            pool_version=pool_version,
            policy_config=config,
            tokenizer_sha256=_tokenizer_hash(draft),
        )
        (draft / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.chmod(0o755)
        _swap(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _swap(draft: Path, folder: Path) -> None:
    """Put the draft in the folder's place; the old one is moved away first, since a rename can't replace it."""
    old = draft.with_name(draft.name + "-old")
    if folder.exists():
        os.rename(folder, old)
    os.rename(draft, folder)
    shutil.rmtree(old, ignore_errors=True)


def _write_model(folder: Path, weights: Mapping[str, torch.Tensor], config: PolicyConfig) -> None:
    tensors = {name: weights[name].detach().contiguous().float() for name in parameter_shapes(config)}
    for layer in range(config.n_layers):
        # transformers expects this bias with attention_bias, vLLM has none: it is zero in both
        tensors[f"model.layers.{layer}.self_attn.o_proj.bias"] = torch.zeros(config.hidden_size)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(qwen3_settings(config), indent=2) + "\n", encoding="utf-8")


def qwen3_settings(config: PolicyConfig) -> dict[str, object]:
    """The keys of a Qwen3 config.json for these sizes."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.mlp_size,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "rope_theta": config.rope_theta,
        "attention_bias": True,
        "attention_dropout": 0.0,
        "use_sliding_window": False,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }


def load_checkpoint(folder: Path) -> LoadedCheckpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: when the manifest is missing or invalid, or weights or tokenizer differ from it.
    """
    folder = Path(folder)
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        weights = load_file(folder / WEIGHTS)
    except (OSError, ValidationError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint[{folder}]: expected {MANIFEST} and {WEIGHTS}, got {type(error).__name__}: {error}; "
            "the folder is no whole checkpoint, train or copy it again"
        ) from error
    config = manifest.policy_config
    weights = {name: tensor for name, tensor in weights.items() if not name.endswith("o_proj.bias")}
    _check_weights(weights, config, str(folder))
    found = (checkpoint_id(weights, config), _tokenizer_hash(folder))
    if found != (manifest.checkpoint_id, manifest.tokenizer_sha256):
        raise CheckpointError(
            f"checkpoint[{folder}]: expected {manifest.checkpoint_id} and tokenizer {manifest.tokenizer_sha256[:12]}, "
            f"got {found[0]} and {found[1][:12]}; a file was changed or damaged, restore or train it again"
        )
    return LoadedCheckpoint(weights, PolicyTokenizer.load(folder), manifest)


def _tokenizer_hash(folder: Path) -> str:
    path = folder / "tokenizer.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _check_weights(weights: Mapping[str, torch.Tensor], config: PolicyConfig, where: str) -> None:
    expected = parameter_shapes(config)
    wrong = sorted(
        name
        for name in expected.keys() | weights.keys()
        if name not in weights or tuple(weights[name].shape) != expected.get(name) or not weights[name].isfinite().all()
    )
    if wrong:
        raise CheckpointError(
            f"checkpoint[{where}]: expected {len(expected)} finite weights of the config's shapes, got "
            f"{len(wrong)} wrong, missing or extra (first: {wrong[0]}); the config is not that of these weights"
        )

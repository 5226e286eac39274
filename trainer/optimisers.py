"""One flat block of parameters, and the two optimizers that step it: Muon with Adam, and Adam alone.

Flat, so that averaging gradients between processes, clipping and Adam are one vector operation each, and Muon sees all
matrices of a shape as one stack. Not covered: sharding, checkpointing of optimizer state, weight decay.
"""

import itertools

import torch

from trainer.config import PolicyConfig
from trainer.model import Weights, is_matrix, parameter_shapes

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
BETAS = (0.9, 0.95)
EPS = 1e-8
MUON_MOMENTUM = 0.95
MUON_RMS = 0.2
"""Update size that Adam typically has, so that one learning rate serves both (arXiv 2502.16982)."""


class ParameterBlock:
    """All trained weights as views into one vector, their gradients as views into another."""

    def __init__(self, config: PolicyConfig) -> None:
        """Allocate zeros for the policy's shapes."""
        self.config = config
        shapes = parameter_shapes(config)
        sizes = {name: int(torch.Size(shape).numel()) for name, shape in shapes.items()}
        self.n_parameters = sum(sizes.values())
        self.values = torch.zeros(self.n_parameters)
        self.grads = torch.zeros(self.n_parameters)
        self.weights: dict[str, torch.Tensor] = {}
        self.n_vector_parameters = sum(size for name, size in sizes.items() if not is_matrix(name))
        self.stacks: list[tuple[int, int, torch.Size]] = []
        start = 0
        for name, shape in shapes.items():
            end = start + sizes[name]
            view = self.values[start:end].view(shape).requires_grad_()
            view.grad = self.grads[start:end].view(shape)
            self.weights[name] = view
            start = end
        self._find_stacks(shapes, sizes)

    def _find_stacks(self, shapes: dict[str, tuple[int, ...]], sizes: dict[str, int]) -> None:
        start = self.n_vector_parameters
        names = [name for name in shapes if is_matrix(name)]
        for shape, group in itertools.groupby(names, key=lambda name: shapes[name]):
            members = list(group)
            end = start + sum(sizes[name] for name in members)
            self.stacks.append((start, end, torch.Size((len(members), *shape))))
            start = end

    @torch.no_grad()
    def load(self, weights: Weights) -> None:
        """Copy named weights in."""
        for name, view in self.weights.items():
            view.copy_(weights[name])

    def state(self) -> dict[str, torch.Tensor]:
        """A detached copy of the weights by name."""
        return {name: view.detach().clone() for name, view in self.weights.items()}

    @torch.no_grad()
    def clip_gradients(self, max_norm: float) -> float:
        """Scale the gradients to a global norm of at most max_norm; returns the norm before."""
        norm = float(self.grads.norm())
        if norm > max_norm:
            self.grads.mul_(max_norm / norm)
        return norm


class Adam:
    """Adam over the first `n` parameters of a block (default: all). Source: arXiv 1412.6980."""

    def __init__(self, block: ParameterBlock, n: int | None = None) -> None:
        """Start with zero moments."""
        self.values, self.grads = block.values[:n], block.grads[:n]
        self.first, self.second = torch.zeros_like(self.values), torch.zeros_like(self.values)
        self.n_steps = 0

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update from the block's gradients."""
        self.n_steps += 1
        self.first.lerp_(self.grads, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(self.grads, self.grads, value=1 - BETAS[1])
        scale = (1 - BETAS[1] ** self.n_steps) ** 0.5
        denominator = self.second.sqrt().div_(scale).add_(EPS)
        self.values.addcdiv_(self.first, denominator, value=-learning_rate / (1 - BETAS[0] ** self.n_steps))


def orthogonalise(stack: torch.Tensor) -> torch.Tensor:
    """Nearest semi-orthogonal matrices of a stack [n, rows, columns], by five Newton-Schulz steps.

    Source: Muon (Jordan et al., 2024), quintic iteration; singular values end in about [0.7, 1.2]. In float32: bfloat16
    is 20 times slower on a CPU without instructions for it, and hardly faster on one with them at these sizes.
    """
    tall = stack.shape[-2] > stack.shape[-1]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class MuonAdam:
    """Muon on the projection matrices, Adam on embedding, norms and biases."""

    def __init__(self, block: ParameterBlock) -> None:
        """Start with zero moments."""
        self.adam = Adam(block, block.n_vector_parameters)
        self.block = block
        self.momenta = [torch.zeros(shape) for _, _, shape in block.stacks]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update from the block's gradients."""
        self.adam.step(learning_rate)
        for (start, end, shape), momentum in zip(self.block.stacks, self.momenta, strict=True):
            gradient = self.block.grads[start:end].view(shape)
            momentum.lerp_(gradient, 1 - MUON_MOMENTUM)
            update = orthogonalise(gradient.lerp(momentum, MUON_MOMENTUM))
            size = MUON_RMS * max(shape[1:]) ** 0.5
            self.block.values[start:end].view(shape).sub_(update, alpha=learning_rate * size)

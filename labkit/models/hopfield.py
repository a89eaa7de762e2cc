"""A Hopfield network with continuous states: its energy, and the update that never raises it.

    patterns X (N, D) ─┐
                       ├─→ scores β X q (…, N) ─ softmax ─→ weights f ─→ Xᵀ f: the next state
    state q (…, D) ────┘

    E(q) = −lse(β, X q) + β⁻¹ log N + ½ qᵀq + ½ M²        lse(β, z) = β⁻¹ log Σᵢ exp(β zᵢ)
         =  E₁(q) + E₂(q)      E₁ = ½ qᵀq + β⁻¹ log N + ½ M²,  convex
                               E₂ = −lse(β, X q),              concave

M is the largest norm of a pattern. A query is a state to start from; the state that the iteration
ends in is what the network remembers. Any number of queries may be given at once.

Sources: Ramsauer et al. 2021, "Hopfield networks is all you need", arXiv:2008.02217 (energy,
update, bounds); Yuille and Rangarajan 2003, "The concave-convex procedure", Neural Computation 15
(why the energy never rises).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Retrieved(NamedTuple):
    """Where each query ended: what the network remembers."""

    state: Tensor  # (…, D)
    steps: Tensor  # int64 (…): how many updates it took
    converged: Tensor  # bool (…): whether the last one moved it by no more than the tolerance


@dataclass(frozen=True)
class Hopfield:
    """The network that stores `patterns` (N, D), one in each row.

    `beta` is the inverse temperature, in units of one over a scalar product of patterns: the
    larger, the more the best match alone counts. It is positive: below zero E₁ + E₂ is no longer a
    convex and a concave part. States (…, D) are floating-point numbers of the patterns' dtype.

    Raises ValueError for patterns that are no finite matrix of floating-point numbers, for a `beta`
    that is not a positive finite number, and (in each method) for states that are not finite or do
    not fit.

    >>> network = Hopfield(torch.tensor([[3.0, 0.0], [0.0, 3.0]]), beta=4.0)
    >>> network.retrieve(torch.tensor([2.0, 1.0])).state.round(decimals=3)
    tensor([3., 0.])
    """

    patterns: Tensor
    beta: float

    def __post_init__(self):
        shape = tuple(self.patterns.shape)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"patterns are {shape}; give (N, D), one pattern in each row")
        if not self.patterns.is_floating_point():
            raise ValueError(f"patterns are {self.patterns.dtype}; turn them with .float()")
        _check_finite("patterns", self.patterns)
        if not (0 < self.beta < math.inf):
            raise ValueError(f"beta is {self.beta}; give a positive finite number")

    @property
    def largest_norm(self) -> Tensor:
        """M, the largest norm of a pattern: ()."""
        return self.patterns.norm(dim=1).max()

    # --- the energy and its two parts -------------------------------------------------------------

    def energy(self, states: Tensor) -> Tensor:
        """E(q) = E₁(q) + E₂(q): (…, D) → (…).

        It is at least 0 everywhere, and at most 2 M² where ‖q‖ ≤ M (Ramsauer et al., lemma A1).
        """
        return self.convex_part(states) + self.concave_part(states)

    def convex_part(self, states: Tensor) -> Tensor:
        """E₁(q) = ½ qᵀq + β⁻¹ log N + ½ M²: (…, D) → (…)."""
        self._check(states)
        constant = math.log(len(self.patterns)) / self.beta + self.largest_norm.square() / 2
        return states.square().sum(-1) / 2 + constant

    def concave_part(self, states: Tensor) -> Tensor:
        """E₂(q) = −lse(β, X q) = −β⁻¹ log Σᵢ exp(β xᵢᵀq): (…, D) → (…)."""
        return -torch.logsumexp(self._scores(states), -1) / self.beta

    # --- their derivatives ------------------------------------------------------------------------

    def gradient(self, states: Tensor) -> Tensor:
        """∇E(q) = q − Xᵀ softmax(β X q), which is zero where an update moves nothing: (…, D)."""
        return self.convex_gradient(states) - self.minus_concave_gradient(states)

    def convex_gradient(self, states: Tensor) -> Tensor:
        """∇E₁(q) = q: (…, D)."""
        self._check(states)
        return states

    def minus_concave_gradient(self, states: Tensor) -> Tensor:
        """∇(−E₂)(q) = Xᵀ softmax(β X q), a mean of the patterns: (…, D)."""
        return self.weights(states) @ self.patterns  # the transpose, so that batches come first

    def convex_hessian(self, states: Tensor) -> Tensor:
        """∇²E₁(q) = I: (…, D, D)."""
        self._check(states)
        return torch.eye(states.shape[-1]).to(states).expand(*states.shape, -1)

    def minus_concave_hessian(self, states: Tensor) -> Tensor:
        """∇²(−E₂)(q) = β Xᵀ (diag f − f fᵀ) X with f = softmax(β X q): (…, D, D).

        That is β times the covariance of the patterns when pattern i has the probability fᵢ.
        """
        f = self.weights(states)
        slope = f.diag_embed() - f[..., :, None] * f[..., None, :]  # (…, N, N): of the softmax
        return self.beta * self.patterns.T @ slope @ self.patterns

    # --- retrieval --------------------------------------------------------------------------------

    def weights(self, states: Tensor) -> Tensor:
        """softmax(β X q), how much each pattern counts: (…, D) → (…, N); they add up to one."""
        return self._scores(states).softmax(-1)

    def update(self, states: Tensor) -> Tensor:
        """One step of the concave-convex procedure, q ← Xᵀ softmax(β X q): (…, D).

        It is the minimum of E₁ plus the tangent of E₂ at q, hence where ∇E₁, the new state itself,
        equals ∇(−E₂)(q). The energy falls by at least half the square of the way.
        """
        return self.minus_concave_gradient(states)

    def trajectory(self, queries: Tensor, steps: int) -> Tensor:
        """The queries, and their states after each update: (…, D) → (steps + 1, …, D)."""
        if steps < 0:
            raise ValueError(f"steps is {steps}; give 0 or more")
        states = [queries]
        for _ in range(steps):
            states.append(self.update(states[-1]))
        return torch.stack(states)

    def retrieve(
        self, queries: Tensor, *, tolerance: float = 1e-6, max_steps: int = 1000
    ) -> Retrieved:
        """Update each of `queries` (…, D) until it moves by no more than `tolerance` times M.

        Returns `state` (…, D), `steps` (…) and `converged` (…). Each query stops by itself, so that
        what it ends in does not depend on the others. What still moves after `max_steps` updates is
        returned where it is, as not converged.
        """
        if max_steps < 1 or not tolerance >= 0:
            raise ValueError(
                f"tolerance is {tolerance} and max_steps {max_steps}; give 0 or more, and 1 or more"
            )
        self._check(queries)
        state = queries.detach().reshape(-1, queries.shape[-1]).clone()
        steps = torch.zeros(len(state), dtype=torch.int64, device=state.device)
        moving = torch.arange(len(state), device=state.device)  # those that have not stopped yet
        for _ in range(max_steps):
            if not len(moving):
                break
            before = state[moving]
            state[moving] = after = self.update(before)
            steps[moving] += 1
            moving = moving[(after - before).norm(dim=-1) > tolerance * self.largest_norm]
        converged = torch.ones_like(steps, dtype=torch.bool)
        converged[moving] = False
        batch = queries.shape[:-1]
        return Retrieved(state.view(queries.shape), steps.view(batch), converged.view(batch))

    def _scores(self, states: Tensor) -> Tensor:
        """β X q: (…, N)."""
        self._check(states)
        return self.beta * states @ self.patterns.T

    def _check(self, states: Tensor) -> None:
        size = self.patterns.shape[1]
        if not states.ndim or states.shape[-1] != size:
            raise ValueError(
                f"states are {tuple(states.shape)}; the patterns have {size} entries, so give "
                f"(…, {size})"
            )
        if states.dtype != self.patterns.dtype:
            raise ValueError(
                f"states are {states.dtype} and patterns {self.patterns.dtype}; give one dtype"
            )
        _check_finite("states", states)


def _check_finite(name: str, numbers: Tensor) -> None:
    wrong = int((~numbers.isfinite()).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of the {numbers.numel()} numbers in {name} are infinite or not a number; "
            "look for an overflow or a division by zero where they come from"
        )

"""The Hopfield network: by hand, beside other people's code, and what must hold everywhere."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.special import logsumexp
from scipy.special import softmax as scipy_softmax
from torch.autograd.functional import hessian

from labkit.models.hopfield import Hopfield


def made(patterns: int, size: int, beta: float, *, seed: int = 0, spread: float = 1.0) -> Hopfield:
    draws = torch.Generator().manual_seed(seed)
    stored = torch.randn(patterns, size, generator=draws, dtype=torch.float64)
    return Hopfield(spread * stored, beta)


def states(*shape: int, seed: int = 1, spread: float = 1.0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, generator=draws, dtype=torch.float64)


CASES = [(2, 1, 0.3), (3, 5, 1.0), (7, 4, 2.5), (1, 3, 1.0), (20, 6, 9.0)]  # N, D, β


# --- numbers worked on paper ----------------------------------------------------------------------


@pytest.fixture
def orthogonal() -> Hopfield:
    """(2, 0) and (0, 1): M = 2, two patterns."""
    return Hopfield(torch.tensor([[2.0, 0], [0, 1]], dtype=torch.float64), beta=math.log(3) / 2)


def test_the_origin_on_paper(orthogonal):
    """All scores are 0 there: E = −β⁻¹ log 2 + β⁻¹ log 2 + 0 + 2²/2, and the mean comes next."""
    origin = torch.zeros(2, dtype=torch.float64)
    constant = 2 * math.log(2) / math.log(3)  # β⁻¹ log N
    assert orthogonal.energy(origin).item() == pytest.approx(2)
    assert orthogonal.convex_part(origin).item() == pytest.approx(constant + 2)
    assert orthogonal.concave_part(origin).item() == pytest.approx(-constant)
    assert orthogonal.update(origin).tolist() == [1, 0.5]
    assert orthogonal.gradient(origin).tolist() == [-1, -0.5]


def test_another_state_on_paper(orthogonal):
    """q = (1, 0): β X q = (log 3, 0), so that the weights are 3/4 and 1/4."""
    state = torch.tensor([1.0, 0], dtype=torch.float64)
    torch.testing.assert_close(orthogonal.weights(state).tolist(), [0.75, 0.25])
    torch.testing.assert_close(orthogonal.update(state).tolist(), [1.5, 0.25])
    torch.testing.assert_close(orthogonal.convex_gradient(state).tolist(), [1.0, 0.0])
    torch.testing.assert_close(orthogonal.gradient(state).tolist(), [-0.5, -0.25])
    # −β⁻¹ log (3 + 1) + β⁻¹ log 2 + 1/2 + 2
    right = 2.5 - 2 * math.log(2) / math.log(3)
    assert orthogonal.energy(state).item() == pytest.approx(right)
    # covariance of (2, 0) and (0, 1) at 3/4 and 1/4: 3/16 of their difference squared
    right = math.log(3) / 2 * 3 / 16 * torch.tensor([[4.0, -2], [-2, 1]], dtype=torch.float64)
    torch.testing.assert_close(orthogonal.minus_concave_hessian(state), right)
    assert orthogonal.convex_hessian(state).tolist() == [[1, 0], [0, 1]]


def test_one_pattern_is_remembered_at_once():
    """N = 1: the weight is 1, E = ½ ‖q − x‖², and one step goes there; a second one sees it."""
    network = Hopfield(torch.tensor([[3.0, 4]]), beta=0.1)
    query = torch.tensor([0.0, 0])
    assert network.energy(query).item() == pytest.approx(12.5)
    state, steps, converged = network.retrieve(query)
    assert (state.tolist(), steps.item(), converged.item()) == ([3, 4], 2, True)


def test_the_trajectory_holds_the_query_and_every_step(orthogonal):
    query = torch.tensor([[1.0, 0], [0, 0]], dtype=torch.float64)
    path = orthogonal.trajectory(query, 2)
    assert path.shape == (3, 2, 2)
    torch.testing.assert_close(path[0], query)
    torch.testing.assert_close(path[1].tolist(), [[1.5, 0.25], [1.0, 0.5]])
    torch.testing.assert_close(path[2], orthogonal.update(path[1]))
    assert orthogonal.trajectory(query, 0).shape == (1, 2, 2)


# --- beside other people's code -------------------------------------------------------------------


@pytest.mark.parametrize(("patterns", "size", "beta"), CASES)
def test_energy_and_update_are_scipy_s(patterns, size, beta):
    network, query = made(patterns, size, beta), states(6, size)
    stored, at = network.patterns.numpy(), query.numpy()
    scores = beta * at @ stored.T
    largest = max((row**2).sum() for row in stored)
    convex = (at**2).sum(1) / 2 + math.log(patterns) / beta + largest / 2
    concave = -logsumexp(scores, axis=1) / beta
    torch.testing.assert_close(network.convex_part(query), torch.from_numpy(convex))
    torch.testing.assert_close(network.concave_part(query), torch.from_numpy(concave))
    torch.testing.assert_close(network.energy(query), torch.from_numpy(convex + concave))
    after = torch.from_numpy(scipy_softmax(scores, axis=1) @ stored)
    torch.testing.assert_close(network.update(query), after)


@pytest.mark.parametrize(("patterns", "size", "beta"), CASES)
def test_gradients_are_autograd_s(patterns, size, beta):
    network = made(patterns, size, beta)
    for closed, part, sign in (
        (network.convex_gradient, network.convex_part, 1),
        (network.minus_concave_gradient, network.concave_part, -1),
        (network.gradient, network.energy, 1),
    ):
        query = states(6, size).requires_grad_()
        (right,) = torch.autograd.grad(part(query).sum(), query)
        torch.testing.assert_close(closed(query), sign * right, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("patterns", "size", "beta"), CASES)
def test_hessians_are_autograd_s(patterns, size, beta):
    network, query = made(patterns, size, beta), states(2, 3, size)
    convex, concave = network.convex_hessian(query), network.minus_concave_hessian(query)
    assert convex.shape == concave.shape == (2, 3, size, size)
    for place in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        at = query[*place]
        right = hessian(network.convex_part, at)
        torch.testing.assert_close(convex[*place], right, rtol=1e-10, atol=1e-12)
        right = -hessian(network.concave_part, at)
        torch.testing.assert_close(concave[*place], right, rtol=1e-9, atol=1e-11)


def test_gradient_and_hessian_are_finite_differences():
    network, query, step = made(5, 4, 1.5), states(4), 1e-5
    moves = step * torch.eye(4, dtype=torch.float64)
    rise = (network.energy(query + moves) - network.energy(query - moves)) / (2 * step)
    torch.testing.assert_close(network.gradient(query), rise, rtol=0, atol=1e-9)
    turn = network.minus_concave_gradient(query + moves) - network.minus_concave_gradient(
        query - moves
    )
    found = network.minus_concave_hessian(query)
    torch.testing.assert_close(found, turn / (2 * step), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_beta_one_over_root_d_it_is_attention(dtype):
    network = Hopfield(made(50, 16, 1.0).patterns.to(dtype), beta=1 / math.sqrt(16))
    query = states(2, 9, 16).to(dtype)
    keys = network.patterns.expand(2, -1, -1)
    right = F.scaled_dot_product_attention(query, keys, keys)
    torch.testing.assert_close(network.update(query), right)


# --- what must hold everywhere --------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.01, 0.3, 2.0, 50.0])
def test_the_energy_falls_by_half_the_square_of_each_step(beta):
    """1,000 starts: E₁ plus the tangent of E₂ is a parabola with curvature 1 above E."""
    network = made(10, 5, beta, spread=2)
    path = network.trajectory(states(1000, 5, spread=4), 40)
    energy = network.energy(path)
    least = path.diff(dim=0).square().sum(-1) / 2
    assert (energy.diff(dim=0) <= -least + 1e-11).all()


@pytest.mark.parametrize("beta", [0.01, 0.3, 2.0, 50.0])
def test_the_energy_lies_within_its_bounds(beta):
    network, largest = made(10, 5, beta), made(10, 5, beta).largest_norm
    assert (network.energy(states(1000, 5, spread=5)) >= 0).all()
    directions = F.normalize(states(1000, 5), dim=1)
    within = directions * largest * torch.linspace(0, 1, 1000, dtype=torch.float64)[:, None]
    assert (network.energy(within) <= 2 * largest**2).all()
    assert largest == max(math.hypot(*row) for row in network.patterns.tolist())


def test_the_energy_is_near_zero_at_a_pattern_far_from_the_others():
    """Where M is its norm and β is large, so that the bound is as low as it can be."""
    network = Hopfield(5 * torch.eye(4, dtype=torch.float64), beta=100.0)
    expected = math.log(4) / 100
    torch.testing.assert_close(network.energy(network.patterns).tolist(), [expected] * 4)


@pytest.mark.parametrize(("patterns", "size", "beta"), CASES)
def test_both_hessians_are_positive_semi_definite(patterns, size, beta):
    network, query = made(patterns, size, beta), states(100, size, spread=2)
    for found in (network.convex_hessian(query), network.minus_concave_hessian(query)):
        torch.testing.assert_close(found, found.mT, rtol=0, atol=1e-13)
        assert torch.linalg.eigvalsh(found).min() >= -1e-12
    assert torch.linalg.eigvalsh(network.convex_hessian(query)).min() == 1


def test_an_update_stays_among_the_patterns():
    """A mean with weights from 0 to 1 that add up to one."""
    network, query = made(8, 3, 3.0), states(200, 3, spread=10)
    weights = network.weights(query)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(200, dtype=torch.float64))
    assert (network.update(query).norm(dim=1) <= network.largest_norm).all()


def test_retrieval_ends_where_an_update_moves_nothing():
    network = made(10, 8, 2.0)
    state, steps, converged = network.retrieve(states(50, 8), tolerance=1e-10)
    assert converged.all()
    assert network.gradient(state).norm(dim=1).max() <= 1e-10 * network.largest_norm
    assert steps.min() < steps.max()  # each by itself


def test_in_other_units_it_takes_the_same_steps():
    """Patterns c times as large at β/c²: all is the same, c times as large."""
    network, query = made(10, 8, 2.0), states(50, 8)
    larger = Hopfield(1000 * network.patterns, 2.0 / 1000**2)
    here, there = network.retrieve(query), larger.retrieve(1000 * query)
    assert here.steps.equal(there.steps)
    torch.testing.assert_close(1000 * here.state, there.state)


def test_a_small_beta_remembers_the_mean_and_a_large_one_each_pattern():
    stored = 3 * F.normalize(made(10, 8, 1.0).patterns, dim=1)  # of one norm, so that all count
    soft, sharp = Hopfield(stored, 1e-3), Hopfield(stored, 50.0)
    mean = stored.mean(0)
    assert (soft.retrieve(states(20, 8)).state - mean).norm(dim=1).max() < 0.05
    damaged = sharp.patterns + states(10, 8, spread=0.3)
    torch.testing.assert_close(sharp.retrieve(damaged).state, sharp.patterns)


def test_a_batch_is_each_by_itself():
    network, query = made(6, 4, 1.0), states(3, 5, 4)
    together = network.retrieve(query)
    assert [part.shape for part in together] == [(3, 5, 4), (3, 5), (3, 5)]
    for row in range(3):
        for column in range(5):
            at = query[row, column]
            for method in ("energy", "gradient", "minus_concave_hessian", "update", "convex_part"):
                batched = getattr(network, method)(query)[row, column]
                torch.testing.assert_close(batched, getattr(network, method)(at))
            alone = network.retrieve(at)
            torch.testing.assert_close(together.state[row, column], alone.state)
            assert together.steps[row, column] == alone.steps
            assert together.converged[row, column] == alone.converged
    assert network.retrieve(query[:0]).state.shape == (0, 5, 4)


def test_what_still_moves_is_not_converged_and_queries_stay_as_they_are():
    network, query = made(6, 4, 0.5), states(30, 4, spread=3)
    before = query.clone()
    state, steps, converged = network.retrieve(query, max_steps=3)
    assert query.equal(before)
    assert (steps == 3).all()
    assert not converged.any()
    torch.testing.assert_close(state, network.trajectory(query, 3)[-1])


def test_a_large_beta_does_not_overflow():
    network = Hopfield(100 * torch.eye(3), beta=1000.0)
    query = torch.tensor([90.0, 10, 0])
    assert network.update(query).tolist() == [100, 0, 0]
    assert network.energy(query).isfinite()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0, -1.5, math.nan, math.inf])
def test_beta_must_be_positive_and_finite(beta):
    with pytest.raises(ValueError, match=f"beta is {beta}; give a positive finite number"):
        Hopfield(torch.ones(2, 3), beta)


def test_patterns_must_be_a_finite_matrix():
    with pytest.raises(ValueError, match=r"patterns are \(3,\); give \(N, D\)"):
        Hopfield(torch.ones(3), 1.0)
    with pytest.raises(ValueError, match=r"patterns are \(0, 3\); give \(N, D\)"):
        Hopfield(torch.ones(0, 3), 1.0)
    with pytest.raises(ValueError, match=r"patterns are torch.uint8; turn them with .float\(\)"):
        Hopfield(torch.ones(2, 3, dtype=torch.uint8), 1.0)
    with pytest.raises(ValueError, match="1 of the 6 numbers in patterns are infinite or not a"):
        Hopfield(torch.tensor([[1, 2, 3], [4, 5, math.inf]]), 1.0)


@pytest.mark.parametrize(
    "method",
    [
        *("energy", "convex_part", "concave_part", "gradient", "convex_gradient"),
        *("minus_concave_gradient", "convex_hessian", "minus_concave_hessian", "weights"),
        *("update", "retrieve"),
    ],
)
def test_states_must_fit(method):
    called = getattr(Hopfield(torch.ones(2, 3), 1.0), method)
    with pytest.raises(ValueError, match=r"states are \(5, 4\); .* give \(…, 3\)"):
        called(torch.ones(5, 4))
    with pytest.raises(ValueError, match=r"states are \(\)"):
        called(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"torch.float64 and patterns torch.float32; give one"):
        called(torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="1 of the 3 numbers in states are infinite or not a"):
        called(torch.tensor([1.0, math.nan, 0]))


def test_steps_and_tolerance_must_make_sense():
    network, query = Hopfield(torch.ones(2, 3), 1.0), torch.ones(3)
    with pytest.raises(ValueError, match=r"steps is -1; give 0 or more"):
        network.trajectory(query, -1)
    with pytest.raises(ValueError, match=r"tolerance is -0.1 and max_steps 5; give 0 or more"):
        network.retrieve(query, tolerance=-0.1, max_steps=5)
    with pytest.raises(ValueError, match=r"tolerance is 0.1 and max_steps 0; give"):
        network.retrieve(query, tolerance=0.1, max_steps=0)
    with pytest.raises(ValueError, match="tolerance is nan"):
        network.retrieve(query, tolerance=math.nan)

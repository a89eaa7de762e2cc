import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.training import Constant, Cosine, Exponential, OneCycle, Step

PER_EPOCH, EPOCHS = 7, 6
TOTAL = PER_EPOCH * EPOCHS


def factors(schedule) -> list[float]:
    return [schedule.factor(step, PER_EPOCH, TOTAL) for step in range(TOTAL)]


def pytorch(make, every: int, learning_rate: float = 1.0) -> list[float]:
    """The rates of PyTorch's scheduler, stepped every so many steps."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=learning_rate)
    scheduler = make(optimizer)
    rates = []
    for step in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0 and step + 1 < TOTAL:
            scheduler.step()
    return rates


def test_on_paper():
    assert factors(Constant()) == [1.0] * TOTAL
    assert Exponential(decay=0.5).factor(2 * PER_EPOCH, PER_EPOCH, TOTAL) == 0.25
    assert Exponential(decay=0.5).factor(2 * PER_EPOCH - 1, PER_EPOCH, TOTAL) == 0.5
    assert Step(every=2, decay=0.1).factor(2 * PER_EPOCH - 1, PER_EPOCH, TOTAL) == 1.0
    assert Step(every=2, decay=0.1).factor(5 * PER_EPOCH, PER_EPOCH, TOTAL) == pytest.approx(0.01)
    assert Cosine().factor(TOTAL // 2, PER_EPOCH, TOTAL) == pytest.approx(0.5)
    assert Cosine(final=0.2).factor(TOTAL, PER_EPOCH, TOTAL) == pytest.approx(0.2)
    assert max(factors(OneCycle())) == pytest.approx(1.0, abs=0.01)
    assert OneCycle(start=10).factor(0, PER_EPOCH, TOTAL) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule", "make", "every"),
    [
        (
            Exponential(decay=0.95),
            lambda it: torch.optim.lr_scheduler.ExponentialLR(it, 0.95),
            PER_EPOCH,
        ),
        (
            Step(every=2, decay=0.3),
            lambda it: torch.optim.lr_scheduler.StepLR(it, 2, 0.3),
            PER_EPOCH,
        ),
        (
            Cosine(final=0.1),
            lambda it: torch.optim.lr_scheduler.CosineAnnealingLR(it, TOTAL, eta_min=0.1),
            1,
        ),
        (
            OneCycle(warmup=0.4, start=20.0, end=100.0),
            lambda it: torch.optim.lr_scheduler.OneCycleLR(
                it,
                1.0,
                TOTAL,
                pct_start=0.4,
                div_factor=20,
                final_div_factor=100,
                cycle_momentum=False,
            ),
            1,
        ),
    ],
)
def test_equal_to_pytorch_s(schedule, make, every):
    assert factors(schedule) == pytest.approx(pytorch(make, every))


@given(st.integers(1, 50), st.integers(1, 20), st.floats(0.01, 0.99))
def test_a_one_cycle_rises_once_and_falls_once(per_epoch, epochs, warmup):
    total = per_epoch * epochs
    rates = [OneCycle(warmup=warmup).factor(step, per_epoch, total) for step in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)

import pandas as pd
import pytest
from matplotlib.figure import Figure
from quarters import made_run

from labkit import figures
from labkit.training import FoundRates, Run, Runs


def drawn_run(seed: int, accuracy: float) -> Run:
    run = made_run(f"key{seed}{accuracy}", seed, test_accuracy=accuracy)
    run.__dict__["history"] = pd.DataFrame(
        {
            "epoch": [1.0, 2.0],
            "train_loss": [1.0, 0.5 + seed],
            "validation_loss": [1.5, 1.25],
            "train_accuracy": [0.4, 0.6],
            "validation_accuracy": [0.3, accuracy],
        }
    )
    return run


@pytest.fixture
def runs() -> Runs:
    return Runs(
        {
            "base": [drawn_run(0, 0.5), drawn_run(1, 0.6)],
            "better": [drawn_run(0, 0.55), drawn_run(1, 0.7)],
        }
    )


def test_curves_are_means_over_seeds_beside_the_single_seeds(runs):
    losses, accuracies = figures.learning_curves(runs).axes
    assert losses.get_ylabel() == "loss (nats)"
    assert accuracies.get_ylabel() == "accuracy"
    lines = {
        line.get_label(): line for line in losses.lines if not line.get_label().startswith("_")
    }
    assert list(lines) == [f"{n}, {s}" for n in ("base", "better") for s in ("train", "validation")]
    assert lines["base, train"].get_xdata().tolist() == [1.0, 2.0]
    assert lines["base, train"].get_ydata().tolist() == [1.0, 1.0]  # (0.5 + 1.5)/2
    # the same colour for the same run, another line for another split: readable in grey
    assert lines["base, train"].get_color() == lines["base, validation"].get_color()
    assert lines["base, train"].get_linestyle() != lines["base, validation"].get_linestyle()
    single = [line for line in losses.lines if line.get_label().startswith("_")]
    assert [line.get_ydata().tolist() for line in single[:2]] == [[1.0, 0.5], [1.0, 1.5]]


def test_the_mean_ends_where_the_first_seed_stops(runs):
    short = drawn_run(2, 0.5)
    short.__dict__["history"] = short.history.iloc[:1]
    panel = figures.learning_curves(Runs({"base": [short, *runs["base"]]})).axes[0]
    mean, *single = panel.lines[:4]
    # beyond it, the mean of the others would be that of other runs
    assert mean.get_xdata().tolist() == [1.0]
    assert [len(line.get_xdata()) for line in single] == [2, 2, 2]


def test_comparison_pairs_seeds(runs):
    axes = figures.comparison(runs, "test_accuracy", reference="base", title="points").axes[0]
    (bar,) = axes.patches
    assert bar.get_width() == pytest.approx(7.5)  # (5 + 10)/2 points
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert dots[0].get_xdata() == pytest.approx([5, 10])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["better"]


def test_a_legend_fits_into_the_width():
    long = Runs({f"a name as long as this, {i}": [drawn_run(0, 0.5)] for i in range(4)})
    figure = figures.learning_curves(long)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_what_was_measured_as_well_is_drawn_under_its_name():
    run = drawn_run(0, 0.7)
    run.history["measured_test_loss"] = [1.6, 1.3]
    figure = figures.learning_curves(Runs({"a": [run]}), ["loss"], ["train", "measured_test"])
    (panel,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].texts] == ["train", "test"]
    assert list(panel.lines[1].get_ydata()) == [1.6, 1.3]


def test_what_was_not_measured_is_said_with_what_was():
    with pytest.raises(ValueError, match="has no 'test_loss', only train_loss, validation_loss"):
        figures.learning_curves(Runs({"a": [drawn_run(0, 0.7)]}), ["loss"], ["test"])


def test_a_legend_of_many_runs_makes_the_figure_grow():
    few = figures.learning_curves(Runs({"a": [drawn_run(0, 0.7)]}))
    name = "optimizer SGD(learning_rate=0.05, momentum=0.9, nesterov=True)"
    many = figures.learning_curves(Runs({f"{name} {i}": [drawn_run(i, 0.7)] for i in range(7)}))
    assert many.get_figheight() > few.get_figheight() + 1
    many.draw_without_rendering()
    legend = many.legends[0].get_window_extent()
    # no panel, with its labels, is under the legend
    assert all(axes.get_tightbbox().y0 >= legend.y1 - 1 for axes in many.axes)
    # a colour for each run and a line for each split, instead of one entry for each pair
    assert len(many.legends[0].texts) == 7 + 2


def test_the_learning_rate_finder_s_figure_marks_its_suggestion():
    table = pd.DataFrame(
        {
            "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
            "loss": [2.3, 2.2, 1.2, 1.0, 9.0],
            "smoothed_loss": [2.3, 2.2, 1.2, 1.0, 9.0],
        }
    )
    found = FoundRates(table)
    assert found.suggested == pytest.approx(1e-2)  # a tenth of where it is lowest
    axes = figures.learning_rates(found).axes[0]
    assert axes.get_xscale() == "log"
    assert any(list(line.get_xdata()) == [found.suggested] * 2 for line in axes.lines)

import re

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from quarters import made_run, make_dataset

from labkit import figures
from labkit.handcalc import avg_pool, convolve, cross_correlate
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


@pytest.fixture
def shown(monkeypatch) -> list:
    """What `show` displays, as (data, metadata)."""
    calls = []
    monkeypatch.setattr(
        figures, "display", lambda data, metadata, raw: calls.append((data, metadata["labkit"]))
    )
    return calls


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


def test_show_gives_a_figure_its_caption_and_provenance(runs, shown):
    figures.show(
        figures.learning_curves(runs), "Curves.", label="fig-a", runs=runs, profile="quick"
    )
    (data, about), *_ = shown
    assert data["image/svg+xml"].lstrip().startswith("<?xml")
    assert (about["kind"], about["caption"], about["label"]) == ("figure", "Curves.", "fig-a")
    assert about["provenance"].startswith("Profile quick. set from here")
    assert "Curves." in data["text/html"]


def test_show_gives_a_table_one_line_of_headings(shown):
    table = pd.DataFrame({"x": ["<1>"]}, index=pd.Index(["a"], name="row"))
    figures.show(table, "A table.")
    (data, about), *_ = shown
    assert about["kind"] == "table"
    headings, *rows = re.findall(r"<tr.*?</tr>", data["text/html"], flags=re.DOTALL)
    assert re.findall(r"<th>(.*?)</th>", headings) == ["row", "x"]
    assert re.findall(r"<td>(.*?)</td>", rows[0]) == ["a", "&lt;1&gt;"]


def test_the_same_figure_gives_the_same_bytes(runs, shown):
    for _ in range(2):
        figures.show(figures.learning_curves(runs), "Curves.")
    assert shown[0] == shown[1]


def test_a_legend_fits_into_the_width():
    long = Runs({f"a name as long as this, {i}": [drawn_run(0, 0.5)] for i in range(4)})
    figure = figures.learning_curves(long)
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]


def written(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def frames(figure: Figure) -> list[tuple[float, ...]]:
    """Column, row, columns, rows of every thick frame."""
    return [
        (*patch.get_xy(), patch.get_width(), patch.get_height())
        for patch in figure.axes[0].patches
        if not patch.get_fill() and patch.get_linewidth() > 1
    ]


def test_a_drawn_step_frames_its_window_and_its_entry():
    figure = figures.windows(convolve(IMAGE, SOBEL, padding=1), (1, 2))
    texts = written(figure)
    assert [name for name in texts if name.isalpha() or " input" in name] == [
        "padded input",
        "weights",
        "result",
    ]
    cells = 5 * 7 + 3 * 3 + 3 * 5
    assert len([text for text in texts if re.fullmatch(r"−?\d+", text)]) == cells
    assert texts[-1] == "row 2, column 3: 1·1 + (−1)·3 + 2·9 + (−2)·1 + 1·5 + (−1)·7 = 12"
    window, entry = frames(figure)
    assert window == (2, 2, 3, 3)  # one row below the name of the matrix
    assert entry[2:] == (1, 1)
    at = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert at[entry[0] + 0.5, entry[1] + 0.5] == "12"


def test_padding_is_drawn_in_italics():
    figure = figures.windows(cross_correlate([[7]], [[1]], padding=1), (1, 1))
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts if text.get_style() == "italic"] == ["0"] * 8
    assert len([text for text in texts if text.get_text() == "7"]) == 2


def test_each_channel_has_a_row_and_each_position_a_band():
    worked = cross_correlate([IMAGE] * 3, [[SOBEL] * 3] * 2, bias=[1, -3])
    texts = written(figures.windows(worked, [(0, 0, 0), (1, 0, 2)]))
    assert [name for name in texts if name.startswith("input")] == [
        f"input, channel {number}" for number in (1, 2, 3, 1, 2, 3)
    ]
    results = [name for name in texts if name.startswith("result")]
    assert results == ["result, channel 1", "result, channel 2"]
    assert texts.count("weights") == 6


def test_with_dilation_every_entry_has_its_frame():
    worked = cross_correlate(IMAGE, [[1, 1], [1, 1]], dilation=(2, 3))
    *window, _ = frames(figures.windows(worked, (0, 1)))
    assert window == [(1, 1, 1, 1), (4, 1, 1, 1), (1, 3, 1, 1), (4, 3, 1, 1)]


def test_pooling_is_drawn_without_weights():
    worked = avg_pool(IMAGE, 2, padding=1, count_include_pad=False)
    texts = written(figures.windows(worked, (0, 0)))
    assert "weights" not in texts
    assert texts.count("·") == 7 * 2 + 3 * 2  # padding that does not count


def test_a_drawing_fits_the_page_and_is_vector_graphics(shown):
    wide = [[(7 * row * column) % 10 for column in range(18)] for row in range(18)]
    figure = figures.windows(cross_correlate(wide, [[1] * 5] * 5, stride=2), (3, 3))
    width, height = figure.get_size_inches()
    assert width == figures.WIDTH
    assert height <= figures.HEIGHT
    figure.draw_without_rendering()
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y0 >= 0
        assert text.get_fontsize() > 5
    figures.show(figure, "A step.")
    assert "<image" not in shown[0][0]["image/svg+xml"]


def test_a_drawing_too_large_to_read_is_an_error_at_once():
    photograph = cross_correlate([[1] * 400] * 300, [[1] * 128] * 128)
    with pytest.raises(ValueError, match=r"padded input is 1×300×400.* smaller input.*html"):
        figures.windows(photograph, (0, 0))
    assert "result" not in photograph.__dict__  # which takes minutes
    small = cross_correlate(IMAGE, SOBEL, padding=1)
    with pytest.raises(ValueError, match="draw fewer positions"):
        figures.windows(small, [(0, 0)] * 9)
    with pytest.raises(ValueError, match=r"no entry \(3, 0\)"):
        figures.windows(small, (3, 0))


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


def test_a_confusion_matrix_adds_the_seeds_and_gives_rates_by_row():
    runs = [
        made_run("k1", 0, test_confusion=[[8, 2], [1, 4]]),
        made_run("k2", 1, test_confusion=[[9, 1], [0, 5]]),
    ]
    rates = texts(figures.confusion_matrix(runs, ["cat", "dog"]))
    assert rates == ["85", "15", "10", "90"]  # 17 of 20, 3 of 20, 1 of 10, 9 of 10
    counts = texts(figures.confusion_matrix(runs, ["cat", "dog"], rates=False))
    assert counts == ["17", "3", "1", "9"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.fixture
def judged():
    """A run that took the first two of the dataset's four test images of class 0 for class 1."""
    dataset = make_dataset()
    test = dataset.test.first(20)
    predictions = test.labels.clone()
    wrong = (test.labels == 0).nonzero().flatten()[:2]
    predictions[wrong] = 1
    other = (test.labels == 2).nonzero().flatten()[:1]
    predictions[other] = 3
    confidences = torch.linspace(0.3, 0.9, 20).half()
    run = made_run("k", 0)
    run.__dict__["arrays"] = {"test_predictions": predictions, "test_confidences": confidences}
    return run, dataset, [*wrong.tolist(), *other.tolist()]


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_wrong_predictions_are_the_wrong_ones_the_surest_first(judged):
    run, dataset, wrong = judged
    shown = titles(figures.wrong_predictions(run, dataset))
    assert len(shown) == 3
    sure = [float(title.split(", ")[1]) for title in shown]
    assert sure == sorted(sure, reverse=True)
    assert sorted(title.split(",")[0] for title in shown) == ["a → b", "a → b", "c → d"]
    surest = max(wrong)
    image = figures.wrong_predictions(run, dataset).axes[0].images[0]
    shown = torch.as_tensor(image.get_array())
    torch.testing.assert_close(shown, dataset.test.images[surest].permute(1, 2, 0) / 255)


def test_wrong_predictions_of_one_pair(judged):
    run, dataset, _ = judged
    assert len(titles(figures.wrong_predictions(run, dataset, pair=("c", "d")))) == 1
    with pytest.raises(ValueError, match="no class 'frog'; there are a, b, c, d"):
        figures.wrong_predictions(run, dataset, pair=("frog", "a"))
    with pytest.raises(ValueError, match="no pictures"):
        figures.wrong_predictions(run, dataset, pair=("b", "a"))


def test_pictures_are_grey_or_in_colour_bytes_or_numbers():
    grey = figures.pictures(torch.full((2, 1, 4, 4), 0.5), columns=2)
    assert grey.axes[0].images[0].get_array().shape == (4, 4, 3)
    colour = figures.pictures(torch.full((3, 3, 4, 4), 255, dtype=torch.uint8), columns=2)
    assert len(colour.axes) == 4
    assert colour.axes[2].images[0].get_array().max() == 1.0


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


def test_classes_are_drawn_where_they_were_found():
    picture = torch.full((3, 48, 64), 128, dtype=torch.uint8)
    labels = torch.tensor([[0, 2, 2], [0, 0, 2]])
    strength = torch.tensor([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]])
    figure = figures.over_picture(
        picture,
        labels,
        ("cat", "dog", "frog"),
        first=16,
        step=8,
        strength=strength,
        framed=[(0, 2)],
        frame="one image",
    )
    (axes,) = figure.axes
    assert axes.images[0].get_extent() == [0, 64, 48, 0]
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        **{(16, 16): "cat", (24, 16): "frog", (32, 16): "frog"},
        **{(16, 24): "cat", (24, 24): "cat", (32, 24): "frog"},
    }
    tiles = [patch for patch in axes.patches if patch.get_fill()]
    assert [tile.get_center() for tile in tiles] == [pytest.approx(place) for place in written]
    # one colour for a class, the denser the surer
    colours = [tile.get_facecolor()[:3] for tile in tiles]
    assert colours[0] == colours[3] == colours[4] != colours[1] == colours[2] == colours[5]
    assert tiles[0].get_alpha() < tiles[2].get_alpha() < tiles[1].get_alpha()
    (frame,) = [patch for patch in axes.patches if not patch.get_fill()]
    assert frame.get_center() == pytest.approx((32, 16))
    assert [text.get_text() for text in figure.legends[0].texts] == ["cat", "frog", "one image"]


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ValueError, match="label 2 has no name among the 2"):
        figures.over_picture(
            torch.zeros(3, 8, 8), torch.tensor([[2]]), ("cat", "dog"), first=4, step=8
        )


def test_receptive_fields_are_framed_by_theory_and_by_what_was_found():
    rows = {"random": {"conv1": torch.ones(5, 5), "pool1": torch.rand(6, 6)}}
    figure = figures.receptive_fields(rows, {"random": {"conv1": 5, "pool1": 4}}, "95% of it")
    conv1, pool1, bar = figure.axes
    assert (conv1.get_title(), pool1.get_title()) == ("conv1: 5, 5", "pool1: 6, 4")
    assert conv1.get_ylabel() == "random"
    assert [patch.get_bbox().bounds for patch in pool1.patches] == [(-3, -3, 6, 6), (-2, -2, 4, 4)]
    assert len({patch.get_linestyle() for patch in pool1.patches}) == 2  # readable in grey
    assert float(pool1.images[0].get_array().max()) == 1
    assert pool1.images[0].get_extent() == [-3, 3, 3, -3]
    assert bar.get_ylabel() == "gradient (of the largest)"
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "theoretical field",
        "95% of it",
    ]

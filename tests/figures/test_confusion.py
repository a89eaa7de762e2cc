import itertools

import pytest
from matplotlib.figure import Figure
from quarters import made_run

from labkit import figures
from labkit.style import WIDTH
from labkit.training import Runs


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


IMAGENETTE = (
    *("tench", "English springer", "cassette player", "chain saw", "church", "French horn"),
    *("garbage truck", "gas pump", "golf ball", "parachute"),
)


def networks(count: int, classes: int = 10, images: int = 400) -> Runs:
    """A network takes one in a hundred of each class for the next, and one in 400 for the last."""
    matrix = [[0] * classes for _ in range(classes)]
    for true, row in enumerate(matrix):
        row[-1] += images // 400
        row[(true + 1) % classes] += images // 100
        row[true] += images - sum(row)
    return Runs({f"net {i}": [made_run(f"k{i}", 0, test_confusion=matrix)] for i in range(count)})


def panels(figure: Figure) -> list:
    return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3), (6, 3), (7, 3)]
)
def test_each_network_has_a_panel_and_the_classes_stand_at_the_edges(count, columns):
    figure = figures.confusion_matrices(networks(count), IMAGENETTE)
    figure.draw_without_rendering()
    drawn = panels(figure)
    assert [axes.get_title() for axes in drawn] == [f"net {i}" for i in range(count)]
    for place, axes in enumerate(drawn):
        across = [label.get_text() for label in axes.get_xticklabels()]
        down = [label.get_text() for label in axes.get_yticklabels()]
        assert across == ([] if place + columns < count else list(IMAGENETTE))
        assert down == ([] if place % columns else list(IMAGENETTE))
        assert axes.get_subplotspec().get_gridspec().ncols == columns


@pytest.mark.parametrize("count", range(1, 10))
def test_the_panels_can_be_read_on_the_page(count):
    of_four_digits = networks(count, images=4000)
    figure = figures.confusion_matrices(of_four_digits, IMAGENETTE, rates=count % 2 == 0)
    width, height = figure.get_size_inches()
    assert width <= WIDTH
    assert height <= 17.5 / 2.54  # the tallest picture of the report's template
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in panels(figure)]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height
    assert not any(
        one.shrunk(0.99, 0.99).overlaps(other)
        for place, one in enumerate(boxes)
        for other in boxes[:place]
    )
    for axes in panels(figure):
        cell = axes.bbox.width / len(IMAGENETTE)
        assert axes.texts
        for text in axes.texts:
            assert text.get_fontsize() >= 5
            assert text.get_window_extent().width < cell
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            assert label.get_fontsize() >= 5


def test_a_long_name_stays_above_its_panel():
    names = {f"net {i}": f"batch normalisation, augmentation and dropout {i}" for i in range(3)}
    short = figures.confusion_matrices(networks(3), IMAGENETTE)
    renamed = networks(3).renamed(names)
    figure = figures.confusion_matrices(renamed, IMAGENETTE)
    short.draw_without_rendering()
    figure.draw_without_rendering()
    assert panels(figure)[0].bbox.width > 0.97 * panels(short)[0].bbox.width
    boxes = [axes.title.get_window_extent() for axes in panels(figure)]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_what_is_below_one_per_cent_has_no_number():
    (axes,) = panels(figures.confusion_matrices(networks(1), IMAGENETTE))
    assert len(axes.texts) == 10 + 10  # the class itself, and the one in a hundred
    assert {text.get_text() for text in axes.texts} == {"99", "1"}
    (axes,) = panels(figures.confusion_matrices(networks(1), IMAGENETTE, rates=False))
    assert {text.get_text() for text in axes.texts} == {"395", "396", "4", "5"}


def test_where_there_are_too_many_classes_numbers_and_names_are_left_out():
    many = [f"class {i}" for i in range(60)]
    for axes in panels(figures.confusion_matrices(networks(2, classes=60), many)):
        assert len(axes.images) == 1
        assert not axes.texts
        assert not axes.get_xticklabels()
        assert not axes.get_yticklabels()


def test_each_panel_adds_its_seeds_and_the_unit_is_said():
    pair = [
        made_run("k1", 0, test_confusion=[[8, 2], [1, 4]]),
        made_run("k2", 1, test_confusion=[[9, 1], [0, 5]]),
    ]
    runs = Runs({"both": pair, "first": pair[:1]})
    rates = figures.confusion_matrices(runs, ["cat", "dog"])
    assert [[text.get_text() for text in axes.texts] for axes in panels(rates)] == [
        ["85", "15", "10", "90"],
        ["80", "20", "20", "80"],
    ]
    assert rates.get_supxlabel() == "taken for (% of the class)"
    counts = figures.confusion_matrices(runs, ["cat", "dog"], rates=False)
    assert texts(counts) == ["17", "3", "1", "9"]
    assert counts.get_supxlabel() == "taken for (images)"
    with pytest.raises(ValueError, match="no runs"):
        figures.confusion_matrices(Runs({}), ["cat", "dog"])


def test_the_most_confused_pairs_over_all_seeds_stand_in_a_stable_order():
    first = [[90, 3, 7], [3, 40, 0], [2, 5, 13]]
    second = [[97, 0, 3], [0, 43, 0], [0, 0, 20]]
    group = [made_run(f"k{i}", i, test_confusion=m) for i, m in enumerate((first, second))]
    table = figures.most_confused(group, ["cat", "dog", "frog"])
    assert table.to_dict("list") == {
        "class": ["cat", "frog", "cat", "dog", "frog"],
        "taken for": ["frog", "dog", "dog", "cat", "cat"],
        "images": [10, 5, 3, 3, 2],  # 3 and 3: as the classes are ordered
        "share of the class (%)": [5.0, 12.5, 1.5, 3.5, 5.0],  # of 200, 86 and 40
    }
    assert list(table.index) == [1, 2, 3, 4, 5]
    assert table.index.name == "rank"
    assert list(figures.most_confused(group, ["cat", "dog", "frog"], 2)["images"]) == [10, 5]
    # of one run, with fewer mistakes than asked for
    assert list(figures.most_confused(group[1], ["cat", "dog", "frog"])["images"]) == [3]


def test_without_mistakes_none_is_confused():
    run = made_run("k", 0, test_confusion=[[3, 0], [0, 4]])
    table = figures.most_confused(run, ["cat", "dog"])
    assert len(table) == 0
    assert list(table) == ["class", "taken for", "images", "share of the class (%)"]

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from quarters import made_run, make_dataset

from labkit import figures


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


def test_a_title_too_long_for_its_picture_breaks_behind_the_arrow(judged):
    run, dataset, _ = judged
    named = ("cassette player", "English springer", "church", "tench")
    figure = figures.wrong_predictions(run, dataclasses.replace(dataset, classes=named))
    bare = {title.rsplit(",", 1)[0] for title in titles(figure)}
    assert bare == {"cassette player →\nEnglish springer", "church → tench"}
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y1 <= figure.bbox.height
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    "titled", [["springer"] * 8, ["cassette player →\nEnglish springer, 0.97"] * 8]
)
def test_titles_lie_on_no_picture_and_make_none_smaller(titled):
    images = torch.rand(8, 3, 8, 8)
    figure, bare = figures.pictures(images, titled, columns=4), figures.pictures(images, columns=4)
    figure.draw_without_rendering()
    bare.draw_without_rendering()
    drawn = [axes.bbox for axes in figure.axes]
    assert drawn[0].width > 0.98 * bare.axes[0].bbox.width
    for axes in figure.axes:
        assert not any(axes.title.get_window_extent().overlaps(box) for box in drawn)


def test_heat_is_laid_over_the_picture_below_it():
    images = torch.randint(0, 255, (5, 3, 8, 8), dtype=torch.uint8)
    heat = torch.rand(5, 8, 8)
    named = [f"image {i}" for i in range(5)]
    figure = figures.heat_over_pictures(images, heat, named, columns=3, meaning="evidence")
    *drawn, bar = figure.axes
    grid = np.array(drawn).reshape(4, 3)  # pictures, heat, pictures, heat
    for place in range(5):
        band, column = divmod(place, 3)
        above, below = grid[2 * band, column], grid[2 * band + 1, column]
        assert above.get_title() == named[place]
        (picture,) = above.images
        np.testing.assert_allclose(picture.get_array(), images[place].permute(1, 2, 0) / 255)
        grey, laid = below.images
        assert grey.get_array().shape == (8, 8)
        np.testing.assert_array_equal(laid.get_array(), heat[place])
        assert 0 < laid.get_alpha() < 1
        assert laid.get_clim() == (0, 1)  # the same colours mean the same everywhere
    assert not grid[2, 2].images
    assert not grid[3, 2].images
    assert bar.get_ylabel() == "evidence"


def test_the_colours_of_heat_grow_lighter_for_print_in_grey():
    figure = figures.heat_over_pictures(torch.rand(1, 3, 4, 4), torch.rand(1, 4, 4))
    laid = figure.axes[1].images[1]
    grey = laid.cmap(np.linspace(0, 1, 32))[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(grey) > 0).all()


def test_each_picture_needs_its_heat():
    with pytest.raises(ValueError, match=r"pictures \(2, 3, 4, 4\) and heat \(1, 4, 4\)"):
        figures.heat_over_pictures(torch.rand(2, 3, 4, 4), torch.rand(1, 4, 4))
    with pytest.raises(ValueError, match="a map of its size"):
        figures.heat_over_pictures(torch.rand(2, 3, 4, 4), torch.rand(2, 7, 7))


@pytest.mark.parametrize(
    "title", ["English springer → cassette player, 0.97", "a class whose name is long, 0.97"]
)
def test_titles_of_narrow_pictures_stay_apart(title):
    images, heat = torch.rand(6, 3, 8, 8), torch.rand(6, 8, 8)
    titled = [title] * 6
    for figure in (
        figures.pictures(images, titled),
        figures.heat_over_pictures(images, heat, titled, columns=6),
    ):
        figure.draw_without_rendering()
        boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
        assert len(boxes) == 6
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
        assert boxes[0].x0 >= 0
        assert max(box.y1 for box in boxes) <= figure.bbox.height

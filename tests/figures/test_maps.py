import numpy as np
import pytest
import torch

from labkit import figures


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


def test_each_filter_is_scaled_by_itself_above_its_activation():
    filters = torch.stack([torch.linspace(-1, 3, 75), torch.linspace(5, 5.1, 75)])
    filters = filters.view(2, 3, 5, 5)
    maps = torch.stack([torch.linspace(0, 4, 24), torch.linspace(-2, 1, 24)]).view(2, 4, 6)
    figure = figures.filters_and_activations(filters, maps, ["filter 14", "filter 26"])
    upper, lower = np.array(figure.axes).reshape(2, 2)
    assert [axes.get_title() for axes in upper] == ["filter 14", "filter 26"]
    assert (upper[0].get_ylabel(), lower[0].get_ylabel()) == ("filter", "activation")
    for axes in upper:
        shown = axes.images[0].get_array()
        assert shown.shape == (5, 5, 3)
        np.testing.assert_allclose(
            shown, np.linspace(0, 1, 75).reshape(3, 5, 5).transpose(1, 2, 0), atol=1e-4
        )
    # from 0 on where nothing is negative, else with 0 in the middle
    assert [axes.images[0].get_clim() for axes in lower] == [(0, 4), (-2, 2)]
    assert [axes.get_xlabel() for axes in lower] == ["0 to 4", "±2"]
    np.testing.assert_array_equal(lower[1].images[0].get_array(), maps[1])


def test_filters_of_one_channel_are_grey_and_of_one_value_no_error():
    filters = torch.stack([torch.arange(9.0), torch.full((9,), 2.0)]).view(2, 1, 3, 3)
    figure = figures.filters_and_activations(filters, torch.zeros(2, 4, 4))
    grey, flat = (axes.images[0].get_array() for axes in figure.axes[:2])
    np.testing.assert_allclose(grey, np.arange(9).reshape(3, 3, 1).repeat(3, 2) / 8)
    assert flat.tolist() == np.zeros((3, 3, 3)).tolist()
    with pytest.raises(ValueError, match="2 filters and 1 maps"):
        figures.filters_and_activations(filters, torch.zeros(1, 4, 4))


def test_feature_maps_stand_in_rows_each_with_its_scale():
    maps = torch.arange(1.0, 8).view(7, 1, 1) * torch.linspace(0, 1, 12).view(3, 4)
    figure = figures.feature_maps(maps, [f"map {i}" for i in range(7)], columns=4)
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes] == [*(f"map {i}" for i in range(7)), ""]
    for place, axes in enumerate(figure.axes[:7]):
        np.testing.assert_array_equal(axes.images[0].get_array(), maps[place])
        assert axes.images[0].get_clim() == (0, place + 1)
        assert axes.get_xlabel() == f"0 to {place + 1}"
    assert not figure.axes[7].axison
    with pytest.raises(ValueError, match="no maps"):
        figures.feature_maps(maps[:0])


def test_the_words_around_maps_lie_on_no_map():
    rows = figures.feature_maps(torch.rand(10, 8, 8), [f"map {i}" for i in range(10)])
    pairs = figures.filters_and_activations(torch.rand(5, 3, 7, 7), torch.rand(5, 8, 8), ["x"] * 5)
    for figure in (rows, pairs):
        figure.draw_without_rendering()
        drawn = [axes.bbox for axes in figure.axes]
        for axes in figure.axes:
            for words in (axes.title, axes.xaxis.label, axes.yaxis.label):
                box = words.get_window_extent()
                assert not words.get_text() or not any(box.overlaps(other) for other in drawn)
                assert box.y0 >= 0
                assert box.y1 <= figure.bbox.height

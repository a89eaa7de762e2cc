import pytest
import torch

from labkit import figures
from labkit.models.hopfield import Hopfield


@pytest.fixture
def networks() -> dict[str, Hopfield]:
    stored = torch.tensor([[1.0, 0.5], [-1.0, 1.0], [0.0, -1.5]], dtype=torch.float64)
    return {"flat": Hopfield(stored, 0.2), "sharp": Hopfield(stored, 20.0)}


QUERIES = torch.tensor([[2.0, 0.0], [-0.5, 0.7]], dtype=torch.float64)


def drawn(axes) -> dict[str, list]:
    """What is drawn on a panel, by its marker."""
    found: dict[str, list] = {}
    for line in axes.lines:
        places = torch.tensor(list(zip(*line.get_data(), strict=True)))
        found.setdefault(line.get_marker(), []).append(places)
    return found


def test_a_landscape_shows_patterns_queries_updates_and_ends(networks):
    figure = figures.energy_landscapes(networks, QUERIES, steps=5)
    *panels, bar = figure.axes
    assert [axes.get_title() for axes in panels] == ["flat", "sharp"]
    assert bar.get_ylabel() == "energy"
    for axes, network in zip(panels, networks.values(), strict=True):
        shown, path = drawn(axes), network.trajectory(QUERIES, 5)
        torch.testing.assert_close(shown["*"], [network.patterns])
        torch.testing.assert_close(shown["s"], [QUERIES])
        torch.testing.assert_close(shown["."], list(path.unbind(1)))
        torch.testing.assert_close(shown["o"], [path[-1]])


def test_the_contours_are_those_of_the_energy(networks):
    """On each contour line the network's energy is the line's level; x is the first entry."""
    figure = figures.energy_landscapes(networks, QUERIES)
    for axes, network in zip(figure.axes, networks.values(), strict=False):
        filled, lines = axes.collections
        assert list(filled.levels) == list(lines.levels)
        crossed = 0
        for level, path in zip(lines.levels, lines.get_paths(), strict=True):
            if len(path.vertices):
                energy = network.energy(torch.as_tensor(path.vertices))
                # between the places of the grid the line is straight
                torch.testing.assert_close(
                    energy, torch.full_like(energy, level), atol=5e-3, rtol=0
                )
                crossed += 1
        assert crossed > 5


def test_panels_share_levels_and_show_everything(networks):
    figure = figures.energy_landscapes(networks, QUERIES)
    flat, sharp = figure.axes[:2]
    assert list(flat.collections[0].levels) == list(sharp.collections[0].levels)
    assert flat.get_xlim() == sharp.get_xlim()
    assert flat.get_aspect() == sharp.get_aspect() == 1
    landscape = flat.collections[0].get_datalim(flat.transData)
    assert landscape.xmin < -2
    assert landscape.xmax > 2  # where a query is, not at the rim
    energies = torch.cat([network.energy(QUERIES) for network in networks.values()])
    assert flat.collections[0].levels[0] <= energies.min()
    assert flat.collections[0].levels[-1] >= energies.max()


def test_what_is_drawn_is_told_apart_without_colour(networks):
    figure = figures.energy_landscapes(networks, QUERIES)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.texts]
    assert names == ["stored pattern", "query", "its updates", "its end"]
    assert len({line.get_marker() for line in legend.get_lines()}) == 4
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.y0 >= 0
    assert not any(axes.get_tightbbox().overlaps(box) for axes in figure.axes)


def test_one_panel_of_one_dtype_will_do():
    network = Hopfield(torch.eye(2), 1.0)
    figure = figures.energy_landscapes({"": network}, torch.zeros(1, 2), steps=0)
    assert drawn(figure.axes[0])["o"][0].tolist() == [[0, 0]]


def test_what_is_not_in_a_plane_is_refused(networks):
    deep = Hopfield(torch.eye(3), 1.0)
    with pytest.raises(ValueError, match="patterns of 'deep' have 3 entries"):
        figures.energy_landscapes({"deep": deep}, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="no network to draw"):
        figures.energy_landscapes({}, QUERIES)

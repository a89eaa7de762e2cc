"""The HTML of a step, parsed again: which cells are marked, and what stands in them."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from labkit.handcalc import avg_pool, convolve, cross_correlate, html, max_pool

IMAGE = [[2, 1, 2, 3, 1], [3, 9, 1, 1, 4], [4, 5, 0, 7, 0]]
SOBEL = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
LARGE = [[100 * row + column for column in range(50)] for row in range(40)]

Cell = tuple[str, frozenset[str]]  # text and classes


@dataclass
class Table:
    """A matrix of the page; `bold` are the places of the cells in <b>."""

    name: str
    rows: list[list[Cell]] = field(default_factory=list)
    bold: set[tuple[int, int]] = field(default_factory=set)

    @property
    def texts(self) -> list[list[str]]:
        return [[text for text, _ in row] for row in self.rows]

    def marked(self, name: str) -> dict[tuple[int, int], str]:
        """Text by place of the cells with a class."""
        return {
            (i, j): text
            for i, row in enumerate(self.rows)
            for j, (text, classes) in enumerate(row)
            if name in classes
        }


class Page(HTMLParser):
    """Reads a page; fails on tags that are not closed in their order."""

    def __init__(self, source: str):
        super().__init__()
        self.tables: list[Table] = []
        self.open: list[tuple[str, frozenset[str]]] = []
        self.sum = ""
        self.caption = ""
        self.feed(source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append((tag, frozenset((dict(attrs).get("class") or "").split())))
        if tag == "table":
            self.tables.append(Table(self.caption))
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag == "td":
            self.tables[-1].rows[-1].append(("", self.open[-1][1]))
        elif tag == "b":
            rows = self.tables[-1].rows
            self.tables[-1].bold.add((len(rows) - 1, len(rows[-1]) - 1))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "td" in tags:
            text, classes = self.tables[-1].rows[-1][-1]
            self.tables[-1].rows[-1][-1] = (text + data, classes)
        elif "caption" in self.open[-1][1]:
            self.caption = data
        elif tags[-1] == "p":
            self.sum += data


def step(worked, *at) -> Page:
    return Page(html(worked, at=at))


def test_a_step_is_the_padded_input_weights_products_and_result():
    page = step(convolve(IMAGE, SOBEL, padding=1), 1, 2)
    names = [table.name for table in page.tables]
    assert names == ["padded input", "weights", "products", "result"]
    padded, weights, products, result = page.tables
    assert padded.texts[1] == ["0", "2", "1", "2", "3", "1", "0"]
    assert list(padded.marked("window").values()) == ["1", "2", "3", "9", "1", "1", "5", "0", "7"]
    assert weights.texts == [["1", "0", "-1"], ["2", "0", "-2"], ["1", "0", "-1"]]  # turned
    assert products.texts == [["1", "0", "-3"], ["18", "0", "-2"], ["5", "0", "-7"]]
    assert result.marked("entry") == {(1, 2): "12"}
    assert page.sum == "row 2, column 3: 1·1 + (-1)·3 + 2·9 + (-2)·1 + 1·5 + (-1)·7 = 12"


def test_the_window_is_framed_and_bold_so_that_it_needs_no_colour():
    padded, *_, result = step(convolve(IMAGE, SOBEL, padding=1), 0, 0).tables
    window = padded.marked("window")
    assert list(window) == [(row, column) for row in range(3) for column in range(3)]
    assert padded.bold == set(window)
    assert result.bold == {(0, 0)}
    assert set(padded.marked("top")) == {(0, 0), (0, 1), (0, 2)}
    assert set(padded.marked("left")) == {(0, 0), (1, 0), (2, 0)}
    assert set(padded.marked("bottom")) == {(2, 0), (2, 1), (2, 2)}
    assert set(padded.marked("right")) == {(0, 2), (1, 2), (2, 2)}


def test_padding_is_told_from_the_input():
    padded = step(cross_correlate(IMAGE, [[1]], padding=((1, 0), (0, 2))), 0, 0).tables[0]
    assert len(padded.rows) == 4
    assert len(padded.rows[0]) == 7
    outside = {(r, c) for r in range(4) for c in range(7) if r == 0 or c >= 5}
    assert set(padded.marked("padding")) == outside


def test_dilation_leaves_holes_that_are_not_marked():
    padded = step(cross_correlate(IMAGE, [[1, 1], [1, 1]], dilation=(2, 3)), 0, 1).tables[0]
    assert padded.marked("window") == {(0, 1): "1", (0, 4): "1", (2, 1): "5", (2, 4): "0"}
    for side in ("top", "bottom", "left", "right"):  # each entry has a frame of its own
        assert len(padded.marked(side)) == 4


def test_stride_moves_the_window():
    padded = step(cross_correlate(IMAGE, [[1, 1]], stride=(2, 3)), 1, 1).tables[0]
    assert padded.marked("window") == {(2, 3): "7", (2, 4): "0"}


def test_every_channel_that_is_read_has_a_row():
    other = [[-entry for entry in row] for row in IMAGE]
    page = step(cross_correlate([IMAGE, other], [[[1]], [[2]]], bias=5), 0, 1)
    names = [table.name for table in page.tables]
    each = ["weights", "products"]
    assert names == ["input, channel 1", *each, "input, channel 2", *each, "result"]
    assert [table.texts for table in page.tables[1::3]][:2] == [[["1"]], [["2"]]]
    assert page.tables[3].marked("window") == {(0, 1): "-1"}
    assert page.tables[-1].marked("entry") == {(0, 1): "4"}
    assert page.sum == "row 1, column 2: 1·1 + 2·(-1) + 5 = 4"


def test_a_filter_of_a_group_shows_its_own_channels_and_map():
    channels = [[[number]] for number in (10, 20, 30, 40)]
    filters = [[[[1]], [[2]]], [[[3]], [[4]]]]
    page = step(cross_correlate(channels, filters, groups=2), 1, 0, 0)
    assert [table.name for table in page.tables if "input" in table.name] == [
        "input, channel 3",
        "input, channel 4",
    ]
    assert page.tables[-1].name == "result, channel 2"
    assert page.tables[-1].texts == [["250"]]  # 3·30 + 4·40


def test_of_many_channels_the_first_are_shown():
    source = html(cross_correlate([[[1]]] * 7, [[[1]]] * 7), at=(0, 0))
    assert len([table for table in Page(source).tables if "input" in table.name]) == 4
    assert "and 3 more channels" in source
    assert Page(source).tables[-1].texts == [["7"]]


def test_pooling_shows_entries_that_do_not_count_as_dots():
    page = step(max_pool(IMAGE, 2, padding=1), 0, 0)
    padded, result = page.tables
    assert list(padded.marked("window").values()) == ["·", "·", "·", "2"]
    assert result.marked("entry") == {(0, 0): "2"}
    assert page.sum == "row 1, column 1: max(2) = 2"


def test_what_hangs_over_the_edge_is_shown_and_does_not_count():
    padded, result = step(avg_pool([[1, 2, 3]], (1, 2), ceil_mode=True), 0, 1).tables
    assert padded.texts == [["1", "2", "3", "·"]]
    assert padded.marked("window") == {(0, 2): "3", (0, 3): "·"}
    assert set(padded.marked("padding")) == {(0, 3)}
    assert result.texts == [["3/2", "3"]]


def test_a_pooled_channel_shows_itself_alone():
    page = step(avg_pool([IMAGE, [[5] * 5] * 3], 3), 1, 0, 0)
    assert [table.name for table in page.tables] == ["input, channel 2", "result, channel 2"]


@pytest.mark.parametrize("at", [(0, 0), (17, 20), (37, 47)])
def test_of_a_large_input_the_part_around_the_window_is_shown(at):
    page = step(cross_correlate(LARGE, [[1] * 3] * 3), *at)
    padded, *_, result = page.tables
    for table in (padded, result):
        assert len(table.rows) <= 11
        assert len(table.rows[0]) <= 14
        assert len({len(row) for row in table.rows}) == 1
    expected = [str(100 * (at[0] + i) + at[1] + j) for i in range(3) for j in range(3)]
    assert list(padded.marked("window").values()) == expected
    total = sum(map(int, expected))
    assert list(result.marked("entry").values()) == [str(total)]


def test_an_excerpt_says_where_it_lies():
    padded = step(cross_correlate(LARGE, [[1] * 3] * 3), 17, 20).tables[0]
    assert padded.name == "input, rows 15–23 of 40, columns 17–28 of 50"
    assert padded.texts[1][1] == "1416"  # row 15, column 17
    assert padded.texts[0] == ["⋮"] * 14
    assert (padded.texts[1][0], padded.texts[1][-1]) == ("⋯", "⋯")


def test_of_a_large_window_the_first_and_the_last_are_shown():
    page = step(cross_correlate(LARGE, [[1] * 30] * 30), 2, 3)
    padded, weights, _, result = page.tables
    marked = list(padded.marked("window").values())
    assert (marked[0], marked[-1]) == ("203", str(100 * 31 + 32))
    assert len(weights.rows) <= 11
    assert len(page.sum) < 450
    assert page.sum.endswith(f"… = {result.marked('entry')[2, 3]}")


def test_only_the_entries_that_are_shown_are_computed():
    # the whole result would be 257² windows of 128² products: minutes
    photograph = cross_correlate([[1] * 384] * 384, [[1] * 128] * 128)
    assert step(photograph, 100, 100).tables[-1].marked("entry")
    assert "result" not in photograph.__dict__


def test_numbers_are_written_short():
    page = step(cross_correlate([[0.1, 1e-12]], [[1 / 3]]), 0, 0)
    assert page.tables[0].texts == [["0.1", "1e-12"]]
    assert page.tables[-1].texts == [["0.0333333", "3.33333e-13"]]


class Tag(int):
    def __str__(self):
        return "<script>&"


def test_everything_is_escaped():
    source = html(max_pool([[Tag(1)]], 1), at=(0, 0))
    assert "<script" not in source
    assert [table.texts for table in Page(source).tables] == [[["<script>&"]]] * 2
    assert Page(source).sum == "row 1, column 1: max(<script>&) = <script>&"


def test_a_position_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"no entry \(3, 0\); the last one is \(2, 4\)"):
        html(convolve(IMAGE, SOBEL, padding=1), at=(3, 0))

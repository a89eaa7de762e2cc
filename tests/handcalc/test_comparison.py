"""Two networks side by side: the published case of IST HW2, and how layers are paired."""

import pytest

from labkit.handcalc import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    compare,
    layer_table,
)

CHANNELS = ((3, 32), (32, 64), (64, 128))


def plain():
    layers = []
    for before, after in CHANNELS:
        layers += [Conv2d(before, after, 3, padding=1), ReLU(), MaxPool2d(2)]
    layers += [Flatten(), Linear(4608, 1024), ReLU(), Linear(1024, 512), ReLU(), Linear(512, 6)]
    return layer_table(layers, (3, 48, 48))


def normalised():
    layers = []
    for before, after in CHANNELS:
        layers += [Conv2d(before, after, 3, padding=1), BatchNorm2d(after), ReLU(), MaxPool2d(2)]
    layers += [GlobalAvgPool2d(), Flatten()]
    for before, after in ((128, 1024), (1024, 512)):
        layers += [Linear(before, after), BatchNorm1d(after), ReLU()]
    return layer_table([*layers, Linear(512, 6)], (3, 48, 48))


def test_the_networks_of_ist_hw2():
    comparison = compare(plain(), normalised())
    assert comparison.first.num_parameters == 5_340_742
    assert comparison.second.num_parameters == 756_742
    assert comparison.difference == -4_584_000
    # on paper: convolutions alike; 2·C for each normalisation; 1,024·(128 − 4,608)
    assert [row.parameters for row in comparison.rows] == [
        *(0, 64, 0, 128, 0, 256),
        *(-4_587_520, 2_048, 0, 1_024, 0),
    ]
    largest = comparison.largest
    assert largest.parameters == -4_587_520
    assert largest.first.layer == largest.second.layer == "fully connected, 1,024 units"
    records = comparison.records()
    assert records[1] == {
        "first": "",
        "second": "batch normalisation",
        "parameters (first)": "",
        "parameters (second)": "64",
        "difference": "+64",
    }
    assert list(records[-1].values()) == ["total", "total", "5,340,742", "756,742", "−4,584,000"]


def test_the_other_way_round_the_signs_turn():
    comparison = compare(normalised(), plain())
    assert [row.parameters for row in comparison.rows][:7] == [0, -64, 0, -128, 0, -256, 4_587_520]
    assert comparison.records()[1]["second"] == ""


def test_layers_of_another_width_are_paired_by_kind():
    first = layer_table([Conv2d(3, 8, 3), Conv2d(8, 8, 3), Flatten(), Linear(128, 2)], (3, 8, 8))
    second = layer_table([Conv2d(3, 9, 3), BatchNorm2d(9), Flatten(), Linear(324, 2)], (3, 8, 8))
    pairs = [
        (row.first and row.first.layer, row.second and row.second.layer)
        for row in compare(first, second).rows
    ]
    assert pairs == [
        ("3×3 convolution, 8 filters", "3×3 convolution, 9 filters"),
        ("3×3 convolution, 8 filters", None),
        (None, "batch normalisation"),
        ("fully connected, 2 units", "fully connected, 2 units"),
    ]


def test_a_network_beside_itself():
    comparison = compare(plain(), plain())
    assert {row.parameters for row in comparison.rows} == {0}
    assert all(row.first == row.second for row in comparison.rows)
    assert {record["difference"] for record in comparison.records()} == {"0"}


def test_how_it_shows_itself():
    first = layer_table([Flatten(), Linear(8, 10)], (2, 2, 2))
    second = layer_table([Flatten(), Linear(8, 10), BatchNorm1d(10)], (2, 2, 2))
    comparison = compare(first, second)
    columns = "parameters (first)  parameters (second)  difference"
    assert repr(comparison).splitlines() == [
        f"first                      second                     {columns}",
        "fully connected, 10 units  fully connected, 10 units  "
        "                90                   90           0",
        "                           batch normalisation        "
        "                                     20         +20",
        "total                      total                      "
        "                90                  110         +20",
    ]
    assert comparison._repr_markdown_().splitlines() == [
        "| first | second | parameters (first) | parameters (second) | difference |",
        "|:--|:--|--:|--:|--:|",
        "| fully connected, 10 units | fully connected, 10 units | 90 | 90 | 0 |",
        "|  | batch normalisation |  | 20 | +20 |",
        "| total | total | 90 | 110 | +20 |",
    ]


def test_without_parameters_there_is_nothing_to_compare():
    table = layer_table([Flatten()], (2, 2, 2))
    with pytest.raises(ValueError, match=r"^neither network has parameters; compare networks that"):
        compare(table, table)

from labkit.report import appendix
from labkit.report.facts import Facts, Recorded, Shown

CONFIG = {
    "network": ["Conv2d(3, 8, 5)", "ReLU()"],
    "optimizer": {"name": "SGD", "learning_rate": 0.1, "weight_decay": 0.0},
    "augmentation": {"flip": True, "crop": None},
    "epochs": 2,
}


def record(key: str, seed: int, rate: float = 0.1, committed: bool = False) -> Recorded:
    optimizer = CONFIG["optimizer"] | {"learning_rate": rate}
    environment = {"device": "a CPU", "precision": "fp32", "torch": "2.13.0"}
    environment["finished"] = "2026-11-22T01:00:00+00:00"
    config = {**CONFIG, "optimizer": optimizer, "seed": seed}
    return Recorded(key, config, {}, environment, [], committed)


RUNS = [record("aaaaaaaa", 0), record("bbbbbbbb", 1), record("cccccccc", 0, 0.01, committed=True)]
SHOWN = [
    Shown("c/one", "figure", "F.", runs={"base": ["aaaaaaaa", "bbbbbbbb"], "slow": ["cccccccc"]}),
    Shown("c/one", "table", "T.", runs={"base": ["aaaaaaaa", "bbbbbbbb"], "gone": ["dddddddd"]}),
]


def table(page, index: int = 0) -> tuple[dict, str]:
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    return outputs[index].metadata.labkit, outputs[index].data["text/html"]


def made() -> tuple[dict, str]:
    records = {run.key: run for run in RUNS}
    return table(appendix.page(Facts(SHOWN, [], []), records, {"c/one": "One", "c/two": "Two"}))


def only(runs: dict[str, list[str]], *records: Recorded) -> tuple[dict, str]:
    """The table of a notebook that shows these runs."""
    facts = Facts([Shown("c/one", "figure", "F.", runs=runs)], [], [])
    return table(appendix.page(facts, {it.key: it for it in records}, {"c/one": "One"}))


def test_what_all_runs_of_a_notebook_share_is_said_once_and_the_rest_in_their_rows():
    about, html = made()
    assert about["caption"].endswith(
        "All have network Conv2d(3, 8, 5) → ReLU(); optimizer.name SGD; augmentation.flip True; "
        "epochs 2."
    )
    assert "<td>base</td><td>optimizer.learning_rate 0.1</td>" in html
    assert "<td>slow</td><td>optimizer.learning_rate 0.01</td>" in html


def test_a_configuration_has_one_row_with_the_key_of_every_seed():
    about, html = made()
    assert html.count("<td>base</td>") == 1
    assert "<td>0: aaaaaa, 1: bbbbbb</td>" in html
    assert "gone" not in html
    assert about["provenance"] == (
        "a CPU, fp32, torch 2.13.0, 2026-11-22; 3 runs, 1 of them from committed records"
    )


def test_many_seeds_leave_room_for_the_settings():
    more = [record(letter * 8, seed) for seed, letter in enumerate("efghi")]
    _, html = only({"base": [run.key for run in more]}, *more)
    assert "<td>0: eeeeee, 1: ffffff,<br>2: gggggg, 3: hhhhhh,<br>4: iiiiii</td>" in html


def test_runs_of_several_machines_are_told_apart():
    elsewhere = record("eeeeeeee", 0)
    elsewhere.environment["device"] = "a GPU"
    about, html = only({"here": ["aaaaaaaa"], "there": ["eeeeeeee"]}, *RUNS, elsewhere)
    assert "<td>0: aaaaaa</td><td>a</td>" in html
    assert "<td>0: eeeeee</td><td>b</td>" in html
    assert about["provenance"] == (
        "a: a CPU, fp32, torch 2.13.0, 2026-11-22; b: a GPU, fp32, torch 2.13.0, 2026-11-22"
    )


def test_a_long_network_is_told_by_its_number_of_layers():
    long, longer = record("eeeeeeee", 0), record("ffffffff", 0)
    long.config["network"] = [f"Linear({size}, {size})" for size in range(1, 40)]
    longer.config["network"] = [f"Linear({size}, {size})" for size in range(40, 99)]
    about, _ = only({"long": ["eeeeeeee"]}, long)
    assert "All have network of 39 layers;" in about["caption"]
    _, html = only({"long": ["eeeeeeee"], "longer": ["ffffffff"]}, long, longer)
    assert "<td>network of 39 layers</td>" in html
    assert "<td>network of 59 layers</td>" in html


def test_numbers_have_no_more_digits_than_say_something():
    scaled = record("eeeeeeee", 0)
    scaled.config["data"] = {"pixel_mean": [0.498039215686, 0.5], "name": "cifar10"}
    about, _ = only({"scaled": ["eeeeeeee"]}, scaled)
    assert "data.pixel_mean 0.498039, 0.5; data.name cifar10" in about["caption"]


def test_of_networks_that_differ_only_the_layers_are_named_that_not_all_have():
    deeper = record("eeeeeeee", 0)
    deeper.config["network"] = ["Conv2d(3, 8, 5)", "BatchNorm2d(8)", "ReLU()"]
    _, html = only({"base": ["aaaaaaaa"], "deeper": ["eeeeeeee"]}, *RUNS, deeper)
    assert "<td>base</td><td>network as all have it</td>" in html
    assert "<td>deeper</td><td>network with BatchNorm2d(8)</td>" in html


def test_a_network_that_several_runs_have_is_told_once():
    deeper = [record("eeeeeeee", 0), record("ffffffff", 0, 0.01)]
    for run in deeper:
        run.config["network"] = ["Conv2d(3, 8, 5)", "BatchNorm2d(8)", "ReLU()"]
    runs = {"base": ["aaaaaaaa"], "deeper": ["eeeeeeee"], "slower": ["ffffffff"]}
    _, html = only(runs, *RUNS, *deeper)
    assert "<td>network with BatchNorm2d(8); optimizer.learning_rate 0.1</td>" in html
    assert "<td>network as in “deeper”; optimizer.learning_rate 0.01</td>" in html


def test_a_notebook_without_runs_is_left_out():
    records = {run.key: run for run in RUNS}
    page = appendix.page(Facts(SHOWN, [], []), records, {"c/one": "One", "c/two": "Two"})
    text = "\n".join(cell.source for cell in page.cells)
    assert "## One" in text
    assert "## Two" not in text

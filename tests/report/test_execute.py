import threading

import pytest
from report_project import write_notebook

from labkit import progress
from labkit.errors import UsageError
from labkit.report import execute


def one() -> execute.Source:
    return execute.find_notebook("mini/one")


def printed(notebook) -> str:
    return "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    )


class Recorder(progress.Relay):
    """Keeps what the kernel's bars say."""

    def __init__(self):
        super().__init__()
        self.states = []

    def show(self, state):
        self.states.append(state)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cuont": 3}, "mini/one has no parameter 'cuont'; did you mean 'count'?"),
        ({"zzz": 3}, "mini/one has no parameter 'zzz'; there are count, rate, name, limit, sizes"),
        ({"count": "3"}, "parameter 'count' of mini/one: '3' is not of type int (the notebook's"),
        ({"count": 2.5}, "parameter 'count' of mini/one: 2.5 is not of type int"),
        ({"count": True}, "parameter 'count' of mini/one: True is not of type int"),
        ({"rate": "fast"}, "parameter 'rate' of mini/one: 'fast' is not of type float"),
        ({"limit": "all"}, "parameter 'limit' of mini/one: 'all' is not of type int | None"),
        ({"sizes": [1, "2"]}, "parameter 'sizes' of mini/one: [1, '2'] is not of type list[int]"),
        ({"name": 7}, "parameter 'name' of mini/one: 7 is not of type str"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(mini, overrides, message):
    with pytest.raises(UsageError) as caught:
        execute.settings(one(), "quick", overrides)
    assert str(caught.value).startswith(message)


def test_right_parameters_are_taken(mini):
    chosen = {"count": 3, "rate": 2, "limit": 5, "sizes": []}  # a whole number is a float as well
    assert execute.settings(one(), "quick", chosen) == chosen


def test_profiles_override_and_are_checked(mini):
    assert execute.settings(one(), "full") == {"count": 10, "rate": 0.001}  # YAML 1.2's 1e-3
    write_notebook(mini, "two", '# %% tags=["parameters"]\nepochs = 1\n', "{quick: {epoch: 2}}")
    with pytest.raises(UsageError, match=r"mini/two has no parameter 'epoch'; .*'epochs'"):
        execute.settings(execute.find_notebook("mini/two"), "quick")


def test_a_notebook_without_parameters_cell_is_refused(mini):
    write_notebook(mini, "bare", "# %%\nprint(1)\n")
    with pytest.raises(UsageError, match="mini/bare has no parameters cell"):
        execute.settings(execute.find_notebook("mini/bare"), "quick")


def test_a_parameters_cell_holds_plain_assignments_only(mini):
    write_notebook(mini, "odd", '# %% tags=["parameters"]\nfor i in range(3): pass\n')
    with pytest.raises(UsageError, match="mini/odd: the parameters cell holds 'for i in range"):
        execute.settings(execute.find_notebook("mini/odd"), "quick")
    write_notebook(mini, "odd", '# %% tags=["parameters"]\nn = len("abc")\n')
    with pytest.raises(UsageError, match=r"n = len\(.*is computed"):
        execute.settings(execute.find_notebook("mini/odd"), "quick")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "title: T\nquikc: {}\n",
            "unknown key 'quikc'; the keys are title, data, weights, smoke, quick, full$",
        ),
        ("title: [T\n", "one.yaml: line "),
        ("- a\n- b\n", "it holds no keys"),
        ("title: T\nquick: 3\n", "quick"),
    ],
)
def test_a_params_file_that_cannot_be_read_is_named(mini, text, message):
    (mini / "params/mini/one.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        execute.settings(one(), "quick")


def test_a_missing_params_file_is_named(mini):
    (mini / "params/mini/one.yaml").unlink()
    with pytest.raises(UsageError, match=r"one\.yaml is missing"):
        execute.settings(one(), "quick")


SIZED = """
# %% tags=["parameters"]
size: int = 8
backbone: str = "small"
"""


@pytest.mark.parametrize("key", ["data", "weights"])
@pytest.mark.parametrize(
    ("names", "chosen", "expected"),
    [
        ('["set-{size}"]', {}, ["set-8"]),  # the notebook's own value
        ('["set-{size}"]', {"size": 16}, ["set-16"]),
        ('["{backbone}", plain]', {"backbone": "large"}, ["large", "plain"]),
        ('["set-{size}", other, set-16, other]', {"size": 16}, ["set-16", "other"]),
        ("null", {}, []),
    ],
)
def test_data_and_weights_go_by_the_parameters(mini, key, names, chosen, expected):
    write_notebook(mini, "sized", SIZED, f"{{title: T, {key}: {names}}}")
    source = execute.find_notebook("mini/sized")
    found = {"data": source.data_sets, "weights": source.weights}
    assert found.pop(key)(chosen) == expected
    (other,) = found.values()
    assert other(chosen) == []


def test_data_go_by_what_the_profile_and_the_user_set(mini):
    params = '{title: T, data: ["set-{size}"], smoke: {size: 2}, full: {size: 32}}'
    write_notebook(mini, "sized", SIZED, params)
    source = execute.find_notebook("mini/sized")

    def names(profile, **overrides):
        return source.data_sets(execute.settings(source, profile, overrides))

    assert names("smoke") == ["set-2"]
    assert names("quick") == ["set-8"]
    assert names("full") == ["set-32"]
    assert names("full", size=3) == ["set-3"]


@pytest.mark.parametrize("key", ["data", "weights"])
def test_data_that_go_by_no_parameter_are_refused(mini, key):
    write_notebook(mini, "sized", SIZED, f'{{title: T, {key}: ["set-{{side}}"]}}')
    source = execute.find_notebook("mini/sized")
    ask = {"data": source.data_sets, "weights": source.weights}[key]
    message = f"sized.yaml: {key} goes by 'side', which is no parameter of the notebook; "
    with pytest.raises(UsageError) as caught:
        ask({})
    assert str(caught.value) == f"{message}there are size, backbone"


@pytest.mark.parametrize("name", ["set-{}", "set-{", "set-{size:q}"])
def test_braces_without_a_parameter_are_refused(mini, name):
    write_notebook(mini, "sized", SIZED, f'{{title: T, data: ["{name}"]}}')
    with pytest.raises(UsageError, match=r"sized\.yaml: a name in data has braces without"):
        execute.find_notebook("mini/sized").data_sets({})


def test_a_type_that_is_not_built_in_is_refused(mini):
    write_notebook(mini, "typed", SIZED.replace(": int", ": Size"), "{title: T}")
    with pytest.raises(UsageError, match="parameter type 'Size' is not built in"):
        execute.settings(execute.find_notebook("mini/typed"), "quick")


def test_notebooks_are_found_by_the_beginning_of_their_name(mini):
    write_notebook(mini, "other", "# %%\n1\n")
    assert execute.find_notebook("mini/on").stem == "one"
    assert execute.find_notebook("notebooks/mini/one.py").stem == "one"
    with pytest.raises(UsageError, match="'mini/o' could be mini/one, mini/other"):
        execute.find_notebook("mini/o")
    with pytest.raises(UsageError, match="no notebook 'mini/onne'; did you mean 'mini/one'"):
        execute.find_notebook("mini/onne")
    with pytest.raises(UsageError, match="no course 'mni'; did you mean 'mini'"):
        execute.find_notebooks("mni")


@pytest.mark.parametrize(
    ("pair", "value"),
    [("a=3", 3), ("a=1e-3", 0.001), ("a=[0, 1]", [0, 1]), ("a=null", None), ("a=x y", "x y")],
)
def test_overrides_are_yaml(pair, value):
    assert execute.parse_overrides((pair,)) == {"a": value}


@pytest.mark.parametrize("pair", ["a", "=3", "a b=3", "a=[1"])
def test_overrides_that_cannot_be_read_are_refused(pair):
    with pytest.raises(UsageError, match="-p"):
        execute.parse_overrides((pair,))


def test_a_notebook_runs_with_its_parameters(mini, tmp_path):
    output = tmp_path / "out" / "one.ipynb"
    notebook = execute.execute(one(), {"count": 7, "limit": 1}, output, Recorder())
    assert printed(notebook) == "count is 7 rate is 0.5 limit is 1 sizes are [1, 2]\n"
    assert execute.failure(notebook) is None
    assert output.exists()


def test_a_failing_notebook_leaves_its_copy_with_the_error(mini, tmp_path):
    write_notebook(
        mini, "bad", '# %% tags=["parameters"]\nn = 1\n\n# %%\n1 / 0\n\n# %%\nprint("after")\n'
    )
    output = tmp_path / "bad.ipynb"
    notebook = execute.execute(execute.find_notebook("mini/bad"), {}, output, Recorder())
    assert execute.failure(notebook) == "ZeroDivisionError: division by zero"
    assert "after" not in printed(notebook)
    assert output.exists()


def test_a_kernel_that_dies_is_a_failure_of_its_notebook(mini, tmp_path):
    write_notebook(
        mini,
        "dead",
        '# %% tags=["parameters"]\nn = 1\n\n# %%\nimport os\nos.kill(os.getpid(), 9)\n',
    )
    output = tmp_path / "dead.ipynb"
    notebook = execute.execute(execute.find_notebook("mini/dead"), {}, output, Recorder())
    assert execute.failure(notebook).startswith("NotRun: the kernel died")


def test_bars_of_the_kernel_are_relayed_and_leave_no_output(mini, tmp_path):
    write_notebook(
        mini,
        "bar",
        """
        # %% tags=["parameters"]
        n = 5

        # %%
        from labkit import progress
        with progress.bar(n, "counting") as bar:
            for _ in range(n):
                bar.update()
            bar.set_postfix_str("done")
        """,
    )
    relay = Recorder()
    notebook = execute.execute(execute.find_notebook("mini/bar"), {}, tmp_path / "b.ipynb", relay)
    assert relay.states[-1]["description"].strip(": ") == "counting"
    assert (relay.states[-1]["n"], relay.states[-1]["closed"]) == (5, True)
    assert relay.states[-1]["postfix"] == "done"
    assert all(not cell.get("outputs") for cell in notebook.cells)


def test_kernels_side_by_side_keep_to_private_sockets(mini, tmp_path):
    write_notebook(
        mini,
        "socket",
        """
        # %% tags=["parameters"]
        n = 1

        # %%
        from ipykernel.connect import get_connection_info
        print(get_connection_info(unpack=True)["transport"], n)
        """,
    )
    source = execute.find_notebook("mini/socket")
    results = {}

    def work(n: int) -> None:
        path = tmp_path / f"{n}.ipynb"
        results[n] = printed(execute.execute(source, {"n": n}, path, Recorder()))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {n: f"ipc {n}\n" for n in range(3)}

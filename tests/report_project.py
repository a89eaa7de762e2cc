"""A small project for the tests of execution and report."""

import textwrap
from pathlib import Path


def make_project(root: Path) -> Path:
    """A project at `root` with one course `mini` of one notebook `one`."""
    for folder in ("notebooks/mini", "params/mini", "reports/results"):
        (root / folder).mkdir(parents=True)
    (root / "params" / "report.yaml").write_text(
        "title: Mini report\nauthors: [Somebody]\ncourses: {mini: A small course}\n"
    )
    write_notebook(
        root,
        "one",
        """
        # %% [markdown]
        # # One

        # %% tags=["parameters"]
        count: int = 2  # how often
        rate: float = 0.5
        name: str = "word"
        limit: int | None = None
        sizes: list[int] = [1, 2]

        # %%
        print("count is", count, "rate is", rate, "limit is", limit, "sizes are", sizes)
        """,
        "{title: One, smoke: {count: 1}, quick: {}, full: {count: 10, rate: 1e-3}}",
    )
    return root


def write_notebook(root: Path, stem: str, source: str, params: str = "{title: T}") -> None:
    (root / "notebooks" / "mini" / f"{stem}.py").write_text(textwrap.dedent(source).lstrip())
    (root / "params" / "mini" / f"{stem}.yaml").write_text(params)

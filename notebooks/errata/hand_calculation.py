# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Errata: hand calculations
#
# The four reports print numbers that were worked out by hand. Here each of them goes through the
# same check as a student's answer: the check knows the question and the right way to its answer,
# and a catalogue of mistakes, each of which computes the wrong answer that it leads to. What it
# says about a printed value is therefore found from that value alone.

# %% tags=["parameters"]
show_right: bool = False  # list the printed values that are right as well

# %%
import pandas as pd
from IPython.display import Markdown, display

from labkit.figures import show
from labkit.handcalc import answer_text, check, question, working
from labkit.report.published import published

# %% [markdown]
# ## The printed values
#
# A row says where a value is printed, which question it answers (questions have the names that
# `labkit check` takes), and where it stands in `reports/published.yaml`. Two reports print a
# formula in place of a number; there the value is what the formula gives for the numbers of the
# question.

# %%
places = [
    ("TDT4265 A3 report, 1a", "tdt4265/1a", ("tdt4265/1a", "result")),
    ("TDT4265 A3 report, 3a", "tdt4265/3a-padding", ("tdt4265/3a", "padding")),
    ("RDFIA 1-cd report, Q1", "rdfia/1-weights", ("rdfia/1", "weights")),
    ("RDFIA 1-cd report, Q1", "rdfia/1-fully-connected", ("rdfia/1", "fully_connected_weights")),
    ("RDFIA 1-cd report, Q7, r₂", "rdfia/7-first", ("rdfia/7", "receptive_field_conv1_pool1")),
    (
        "RDFIA 1-cd report, Q7, r₁ and r₂",
        "rdfia/7-strided",
        ("rdfia/7", "receptive_field_two_strided_convolutions"),
    ),
    ("RDFIA 1-cd report, Q11", "rdfia/11", ("rdfia/11", "parameters")),
    ("RDFIA 1-cd report, Q12", "rdfia/11", ("rdfia/12", "parameters")),
    ("RDFIA 1-cd report, Q12", "rdfia/12", ("rdfia/12", "times_as_many")),
    ("NN HW1 report, task 1", "nn_hw1/1-size", ("nn_hw1/1", "output_size")),
    ("IST HW2 report, 2.3", "ist_hw2/2.3-plain", ("ist_hw2/2.3", "parameters_plain")),
    ("IST HW2 report, 2.3", "ist_hw2/2.3-normalised", ("ist_hw2/2.3", "parameters_normalised")),
]

# %% jupyter={"source_hidden": true} tags=["solution"]
verdicts = []
for report, name, (section, entry) in places:
    value = published(section)[entry]
    verdicts.append((report, name, value, check(value, question(name))))
wrong = [row for row in verdicts if not row[-1].right]

# %% jupyter={"source_hidden": true} tags=["solution"]
rows = []
for report, name, value, verdict in verdicts if show_right else wrong:
    printed, right = zip(*verdict.corrections, strict=True) if verdict.corrections else ((), ())
    rows.append(
        {
            "report": report,
            "published": ", ".join(printed) or answer_text(value),
            "right": ", ".join(right) or answer_text(question(name).result),
            "mistake": str(verdict.explanations[0]) if verdict.explanations else "none known",
        }
    )
show(
    pd.DataFrame(rows).set_index("report").rename_axis(None),
    caption="Published values that are wrong, with the right value and the mistake that leads to "
    "exactly the published one. Of a list or a matrix only the wrong entries are shown.",
    label="errata-hand-calculation",
)

# %% jupyter={"source_hidden": true} tags=["solution"]
named = sum(bool(verdict.explanations) for *_, verdict in wrong)
display(
    Markdown(
        f"Of {len(verdicts)} printed values checked here {len(verdicts) - len(wrong)} are right. "
        f"Of the {len(wrong)} wrong ones the check names the mistake for {named}."
    )
)

# %% [markdown]
# ## How each goes right

# %% jupyter={"source_hidden": true} tags=["solution"]
for report, name, _, verdict in wrong:
    display(Markdown(f"**{report}.** {question(name).question}"), verdict)
    display(Markdown(working(question(name), steps=False)))

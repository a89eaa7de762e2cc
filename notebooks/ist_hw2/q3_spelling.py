# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # IST HW2 question 3: from sounds to letters
#
# A network hears a word as a sequence of phonemes and spells it, letter by letter. One LSTM reads
# the phonemes, another writes the letters; first it is given the reader's last state alone, then it
# may look back at every phoneme (attention).
#
# **Prediction.** The last state must hold the whole word in 128 numbers, so that attention should
# help, and long words most. The sounds of English do not decide its spelling: most words will have
# some wrong letter, even where most letters are right. Of three guesses one is right more often
# than a single one.

# %% tags=["parameters"]
profile: str = "quick"  # the name under which figures and tables are shown
show_solution: bool = True  # show the worked solution below each answer
words_name: str = "p2g"  # the course's; "cmudict" serves where LABKIT_DATA does not hold it
epochs: int = 6  # the course: 20
train_words: int | None = None  # None: all 10,000
validation_words: int | None = 500  # None: all 1,000
test_words: int | None = 500  # None: all 1,000
seeds: list[int] = [0]  # one run for each

learning_rate: float = 3e-3
batch_size: int = 64
dropout: float = 0.3
beam_width: int = 5
samples: int = 3  # spellings drawn for each word
nucleus: list[float] = [0.2, 0.4, 0.6, 0.8, 0.9, 1.0]  # values of p; the course: 0.8

# %%
import math
import statistics
from dataclasses import replace

import matplotlib
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from labkit import figures
from labkit.data import load_words
from labkit.data.words import COURSE_FINGERPRINT, END, PAD, START, encoded
from labkit.figures import show
from labkit.report.claims import claim
from labkit.report.published import beside_published, published
from labkit.style import COLOURS, STYLE, WIDTH
from labkit.training import (
    Adam,
    EncoderDecoder,
    Runs,
    SpellingConfig,
    Words,
    at_best_scale,
    full_scale,
    sweep,
)
from labkit.training.error_rates import MISTAKE_KINDS, edits, mistake_kind
from labkit.training.spelling import trained_speller, vocabularies
from labkit.widgets import playground

# %% [markdown]
# ## The words

# %%
words = load_words(words_name, otherwise="cmudict")
marked = words if words.stand_in else None  # so that what rests on other words says so
phonemes, letters = vocabularies(words)
show(
    pd.DataFrame(
        [(pair.word, " ".join(pair.phonemes)) for pair in words.train[:6]],
        columns=["word", "phonemes"],
    ).set_index("word"),
    f"The first of {len(words.train):,} training words; {len(words.validation):,} more are for "
    f"validation and {len(words.test):,} for the test. There are {len(phonemes.symbols)} phonemes "
    f"and {len(letters.symbols)} letters, and four symbols for padding, start, end and unknown.",
    label="tab-ist-words",
    dataset=words,
)

# %% [markdown]
# Symbols that do not occur in the training words cannot be learnt:

# %%
Markdown("\n".join(f"- {remark}" for remark in words.remarks) or "There are none.")

# %% [markdown]
# ## The networks
#
# The encoder is an LSTM in both directions with 64 units each; what it makes of phoneme $i$ is
# $h_i \in \mathbb{R}^{128}$, and its last states are the decoder's first. The decoder, an LSTM with
# 128 units, reads the letter before and comes to $s_t$; the letters' embedding, transposed, is the
# output layer as well, so that
#
# $$P(\text{letter}_t \mid \text{letters before, phonemes}) = \mathrm{softmax}(E\, s_t + b).$$
#
# With attention ([Bahdanau et al. 2015](#cite-bahdanau2015)) each letter first asks
# every phoneme,
#
# $$\alpha_{ti} = \mathrm{softmax}_i\bigl(v^\top \tanh(W_s s_t + W_h h_i)\bigr), \qquad
# c_t = \sum_i \alpha_{ti} h_i, \qquad \tilde s_t = \tanh(W_o [c_t; s_t] + b_o),$$
#
# and $\tilde s_t$ takes the place of $s_t$. In the course's code, as here, $\tilde s_t$ does not go
# back into the LSTM, so that while the right letters are given all steps are computed at once.
#
# An LSTM with $n$ inputs and $m$ units has four gates, each with weights for inputs and units and,
# in PyTorch, two biases: $4m(n + m + 2)$ parameters.

# %%
size = 128
direction = size // 2
parts = {  # what, its parameters in numbers
    "embedding of the phonemes": f"{len(phonemes)} * {size}",
    "encoder, two directions": f"2 * 4 * {direction} * ({size} + {direction} + 2)",
    "embedding of the letters, and output": f"{len(letters)} * {size}",
    "decoder": f"4 * {size} * ({size} + {size} + 2)",
    "bias of the output": f"{len(letters)}",
}
of_attention = {
    "attention: $W_s$ and $W_h$": f"2 * {size} * {size}",
    "attention: $v$": f"{size}",
    "attention: $W_o$ and $b_o$": f"2 * {size} * {size} + {size}",
}
counted = {what: pd.eval(formula) for what, formula in (parts | of_attention).items()}
plain = sum(counted[what] for what in parts)
table = pd.DataFrame(
    [
        (what, formula.replace("*", "·"), f"{counted[what]:,}")
        for what, formula in (parts | of_attention).items()
    ]
    + [
        ("without attention", "", f"{plain:,}"),
        ("with attention", "", f"{plain + sum(counted[what] for what in of_attention):,}"),
    ],
    columns=["part", "calculation", "parameters"],
).set_index("part")
show(
    table,
    "Parameters of the two networks, part by part, with the vocabularies of these words. The "
    "course's own words have 107 phonemes and 93 letters, the four special symbols included: "
    f"{published('ist_hw2/3a')['num_parameters']:,} and "
    f"{published('ist_hw2/3b')['num_parameters']:,} parameters.",
    label="tab-ist-parameters",
    dataset=words,
)

# %% [markdown]
# ## Without and with attention
#
# The course takes Adam with a rate of 0.003 and batches of 64 words. While it learns, the decoder
# is given the right letters before (teacher forcing); in validation and test it reads its own. The
# weights of the lowest validation character error rate are kept. The *character error rate* (CER)
# is the number of letters that must be replaced, inserted or removed, over all words together,
# divided by the number of letters; the *word error rate* (WER) is the share of words that are not
# right.

# %%
experiment = {
    name: SpellingConfig(
        network=EncoderDecoder(dropout=dropout, attention=attention),
        optimizer=Adam(learning_rate=learning_rate),
        data=Words(
            name=words.name,
            train_words=train_words,
            validation_words=validation_words,
            test_words=test_words,
        ),
        batch_size=batch_size,
        epochs=epochs,
        validations_per_epoch=1,
        beam_width=beam_width,
        nucleus=nucleus,
        samples=samples,
    )
    for name, attention in (("no attention", False), ("attention", True))
}
runs = sweep(experiment, seeds=seeds)
judged, judged_profile = at_best_scale(runs, experiment, profile)
show(
    figures.learning_curves(judged, metrics=("cer", "loss"), splits=("validation",)),
    "Character error rate of the validation words, spelled greedily, and the loss with the right "
    "letters given, after each epoch.",
    label="fig-ist-cer",
    runs=judged,
    dataset=marked,
    profile=judged_profile,
)

# %%
show(
    judged.table(
        {
            "validation CER": "validation_cer",
            "test CER": "test_cer",
            "test WER": "test_wer",
            f"CER, beam of {beam_width}": "test_beam_cer",
            f"WER, beam of {beam_width}": "test_beam_wer",
            "best epoch": "best_epoch",
            "seconds": "training_seconds",
        }
    ),
    "Error rates with the best weights of each run: spelled greedily, and with a beam, which keeps "
    f"the {beam_width} most probable beginnings.",
    label="tab-ist-error-rates",
    runs=judged,
    dataset=marked,
    profile=judged_profile,
)

# %%
# the very words that were spelled must be at hand
own = judged["attention"][0].environment["data"]["fingerprint"] == words.fingerprint
told, told_profile = (judged, judged_profile) if own else (runs, profile)
spelled = {
    name: [
        ["".join(letters.decode(row)) for row in run.arrays["test_spelled"].tolist()]
        for run in group
    ]
    for name, group in told.items()
}
tested = words.test[: len(spelled["attention"][0])]
per_word = pd.DataFrame({"letters": [len(pair.word) for pair in tested]})
for name, of_seeds in spelled.items():  # the edits of each word, mean of the seeds
    per_word[name] = [
        statistics.fmean(len(edits(pair.word, word)) for word in spellings)
        for pair, spellings in zip(tested, zip(*of_seeds, strict=True), strict=True)
    ]
per_word["fewer"] = per_word["no attention"] - per_word["attention"]
per_word["length"] = pd.cut(
    per_word["letters"], [0, 5, 7, 9, 999], labels=["up to 5", "6 or 7", "8 or 9", "10 and more"]
)

# %% jupyter={"source_hidden": true} tags=["solution"]
total = per_word["letters"].sum()
gain = per_word["fewer"].sum() / total
margin = 1.96 * per_word["fewer"].std() * math.sqrt(len(per_word)) / total
cer = {name: per_word[name].sum() / total for name in told}
helps = {
    metric: claim(
        f"Attention lowers the {rate} error rate",
        told.select("attention"),
        "<",
        told.select("no attention"),
        metric,
        profile=told_profile,
        source="IST HW2 report, question 3b",
    )
    for rate, metric in (("character", "test_cer"), ("word", "test_wer"))
}
beams = {name: told.mean(name, "test_beam_cer") - told.mean(name, "test_cer") for name in told}
with_which = f"profile {told_profile}, {words.title}, seeds: {len(told['attention'])}"
Markdown(
    f"**Answer** ({with_which}). With attention the character error rate of the test words is "
    f"{cer['attention']:.3f}, without it {cer['no attention']:.3f}: "
    + f"{-100 * gain:+.1f} ± {100 * margin:.1f} points ".replace("-", "−")
    + "(half of a 95 % interval over the test words, for these very networks). The word error "
    f"rates are {told.spread('attention', 'test_wer')} and "
    f"{told.spread('no attention', 'test_wer')}. That attention lowers the "
    f"first, as predicted: {helps['test_cer'].outcome}; the second: {helps['test_wer'].outcome}. "
    f"A beam of {beam_width} changes the character error rate by "
    + f"{100 * beams['attention']:+.1f} points with attention and "
    f"{100 * beams['no attention']:+.1f} without.".replace("-", "−")
)

# %% [markdown]
# ## Long words
#
# If one vector is too narrow for a long word, attention should help those most.

# %%
groups = per_word.groupby("length", observed=True)
sums, counts = groups[["letters", "no attention", "attention", "fewer"]].sum(), groups.size()
by_length = pd.DataFrame(
    {
        "words": counts,
        "no attention": sums["no attention"] / sums["letters"],
        "attention": sums["attention"] / sums["letters"],
        "gain": sums["fewer"] / sums["letters"],
        "margin": 1.96 * groups["fewer"].std() * counts**0.5 / sums["letters"],
    }
)
show(
    by_length.map("{:.3f}".format).assign(words=counts),
    "Character error rate of test words by their number of letters, spelled greedily (mean of the "
    "seeds); what attention gains, and half of the 95 % interval of that over the words.",
    label="tab-ist-length",
    runs=told,
    dataset=marked,
    profile=told_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
shortest, longest = by_length.iloc[0], by_length.iloc[-1]
more = longest["gain"] - shortest["gain"]
margin = math.hypot(longest["margin"], shortest["margin"])
Markdown(
    f"**Answer** ({with_which}). Of the letters of the longest words attention gets "
    + f"{100 * longest['gain']:.1f} points more right, of those of the shortest "
    f"{100 * shortest['gain']:.1f}: {100 * more:+.1f} ± {100 * margin:.1f}, ".replace("-", "−")
    + (
        "not told apart."
        if not abs(more) > margin
        else "the longest profit most, as predicted."
        if more > 0
        else "the shortest profit most, against the prediction."
    )
)

# %% [markdown]
# ## Where attention looks
#
# A row for each letter that was spelled, END last (shown as a dot): how much of each phoneme the
# decoder took in for it. Padding gets exactly 0, so that a word's map does not depend on the words
# beside it.

# %%
run = runs["attention"][0]
if run.has_weights:  # a committed record has none
    model = trained_speller(experiment["attention"], words, run.weights)
    ids = run.arrays["test_spelled"].long()
    alone = ["".join(letters.decode(row)) for row in ids.tolist()]
    chosen = (
        [  # six of a length that can be read: three that are right and three that are not
            place
            for ok in (True, False)
            for place in [
                place
                for place, pair in enumerate(words.test[: len(ids)])
                if (alone[place] == pair.word) == ok and 6 <= len(alone[place]) <= 9
            ][:3]
        ]
        or [0]
    )  # a network that has learnt nothing may spell none of that length
    maps = []
    for place in chosen:
        sources = encoded([words.test[place]], phonemes, letters).phonemes
        written = ids[place, : len(alone[place]) + 1][None]  # with END
        before = torch.cat([torch.full_like(written[:, :1], START), written[:, :-1]], dim=1)
        with torch.no_grad():
            maps.append(model.attention_weights(sources, before)[0])
    show(
        figures.attention_maps(
            maps,
            [words.test[place].phonemes for place in chosen],
            [[*alone[place], "·"][: len(map_)] for place, map_ in zip(chosen, maps, strict=True)],
        ),
        "Attention of the network with seed "
        f"{run.config['seed']} for test words that it spells right (first row, if it has any) and "
        "wrong: "
        + "; ".join(
            f"*{alone[place]}*"
            + (f" for {words.test[place].word}" if alone[place] != words.test[place].word else "")
            for place in chosen
        )
        + ". From white for 0 to black for 1; each row adds up to 1.",
        label="fig-ist-attention",
        runs=Runs({"attention": [run]}),
        dataset=marked,
        profile=profile,
    )
else:
    display(
        Markdown("*The weights of this run are not on this machine; `--fresh` trains it anew.*")
    )

# %% jupyter={"source_hidden": true} tags=["solution"]
if run.has_weights:
    steps, largest = [], []  # of the phoneme with the largest weight; and that weight
    for start in range(0, len(ids), 100):
        pairs = words.test[start : min(start + 100, len(ids))]
        sources = encoded(pairs, phonemes, letters).phonemes
        written = ids[start : start + 100]
        before = torch.cat([torch.full_like(written[:, :1], START), written[:, :-1]], dim=1)
        with torch.no_grad():
            weights, places = model.attention_weights(sources, before).max(2)  # (n, T)
        there = (written != PAD) & (written != END)
        steps.append((places[:, 1:] - places[:, :-1])[there[:, 1:] & there[:, :-1]])
        largest.append(weights[there])
    steps, largest = torch.cat(steps).float(), torch.cat(largest)
    right, stays, left = ((steps.sign() == sign).float().mean().item() for sign in (1, 0, -1))
    display(
        Markdown(
            f"**Answer** (profile {profile}). "
            + (
                "From one letter to the next the phoneme of the largest weight moves to the right "
                f"in {right:.0%} of the steps, stays in {stays:.0%} and moves to the left in "
                f"{left:.0%}. "
                if len(steps)
                else "No word was given two letters. "
            )
            + (
                "Nobody told the network that letters come in the order of the sounds. "
                if right > 0.5 and right > 5 * left
                else ""
            )
            + f"The largest weight of a letter is {largest.mean():.2f} on average"
            + (
                ": it looks at one phoneme above all."
                if largest.mean() >= 0.5
                else ": it looks at several phonemes at a time."
            )
        )
    )

# %% [markdown]
# ## Three guesses: nucleus sampling
#
# Instead of the most probable letter one is drawn from the *nucleus*, the smallest set of most
# probable letters whose probabilities add up to at least $p$ ([Holtzman et al.
# 2020](#cite-holtzman2020)). Three spellings of each word are drawn; WER@3 counts a
# word as wrong only if none of the three is right. With $p \to 0$ only the most probable letter is
# left, and all three are what greedy decoding gives.

# %%
rates = {
    "CER": "cer",
    "WER": "wer",
    f"WER@{samples}": f"wer_at_{samples}",
}
sampled = pd.DataFrame(
    {
        title: [judged.spread("attention", f"test_nucleus_{p:g}_{metric}") for p in nucleus]
        for title, metric in rates.items()
    },
    index=pd.Index([f"{p:g}" for p in nucleus], name="p"),
)
sampled.loc["greedy"] = [
    judged.spread("attention", metric) for metric in ("test_cer", "test_wer", "test_wer")
]
show(
    sampled,
    f"Error rates of {samples} spellings drawn for each test word, with attention; CER and WER "
    "over all of them.",
    label="tab-ist-nucleus",
    runs=judged.select("attention"),
    dataset=marked,
    profile=judged_profile,
)

# %%
with matplotlib.rc_context(STYLE):
    figure = Figure(figsize=(WIDTH * 0.75, 2.5))
    axes = figure.subplots()
    for (title, metric), colour, marker in zip(rates.items(), COLOURS, "o^s", strict=False):
        for name, dashes in (("attention", "-"), ("no attention", "--")):
            axes.plot(
                nucleus,
                [judged.mean(name, f"test_nucleus_{p:g}_{metric}") for p in nucleus],
                dashes,
                marker=marker,
                markersize=4,
                color=colour,
                label=f"{title}, {name}",
            )
    axes.set_xlabel("p")
    axes.set_ylabel("error rate")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right center")
show(
    figure,
    "The same against p, with and without attention.",
    label="fig-ist-nucleus",
    runs=judged,
    dataset=marked,
    profile=judged_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
at_3 = {p: judged.mean("attention", f"test_nucleus_{p:g}_wer_at_{samples}") for p in nucleus}
drawn = [judged.mean("attention", f"test_nucleus_{p:g}_cer") for p in nucleus]
best_p = min(at_3, key=at_3.get)
greedy_wer = judged.mean("attention", "test_wer")
if 0.8 in nucleus:  # the course's
    drawn_at_course_s = [
        replace(
            run,
            metrics=run.metrics | {"test_wer": run.metrics[f"test_nucleus_0.8_wer_at_{samples}"]},
        )
        for run in judged["attention"]
    ]
    claim(
        f"With one of {samples} samples right (p = 0.8), fewer words are wrong than greedily",
        Runs({f"{samples} samples": drawn_at_course_s}),
        "<",
        judged.select("attention").renamed({"attention": "greedy"}),
        "test_wer",
        profile=judged_profile,
        source="IST HW2 report, question 3c",
    )
Markdown(
    f"**Answer** (profile {judged_profile}, {words.title}). The larger $p$, the more letters are "
    f"drawn that are not the likeliest: from $p = {nucleus[0]:g}$ to $p = {nucleus[-1]:g}$ the "
    f"character error rate goes from {drawn[0]:.3f} to {drawn[-1]:.3f}. One of {samples} "
    f"guesses is right most often at $p = {best_p:g}$: WER@{samples} is {at_3[best_p]:.3f} there, "
    f"beside {greedy_wer:.3f} of a single greedy spelling"
    + (
        ". A small $p$ draws the same word three times, a large one three bad ones."
        if nucleus[0] < best_p < nucleus[-1]
        else "."
    )
)

# %% [markdown]
# ## What goes wrong

# %%
kinds = {
    name: [
        mistake_kind(pair.word, word)
        for its in seeds_of
        for pair, word in zip(tested, its, strict=True)
    ]
    for name, seeds_of in spelled.items()
}
shares = pd.DataFrame(
    {
        name: [found.count(kind) / len(found) for kind in MISTAKE_KINDS]
        for name, found in kinds.items()
    },
    index=pd.Index(MISTAKE_KINDS, name="kind"),
)
show(
    shares.map("{:.1%}".format),
    "Of which kind the spellings of the test words are, from a lesser mistake to a greater; the "
    "first that fits.",
    label="tab-ist-kinds",
    runs=told,
    dataset=marked,
    profile=told_profile,
)

# %%
of_first = kinds["attention"][: len(tested)]  # of the first seed
examples = [
    (kind, " ".join(tested[place].phonemes), tested[place].word, spelled["attention"][0][place])
    for kind in MISTAKE_KINDS[1:]
    for place in [place for place, its in enumerate(of_first) if its == kind][:2]
]
show(
    pd.DataFrame(examples, columns=["kind", "phonemes", "word", "spelled"]).set_index("kind"),
    "The first two test words of each kind, with attention "
    f"(seed {told['attention'][0].config['seed']}).",
    label="tab-ist-mistakes",
    runs=told.select("attention"),
    dataset=marked,
    profile=told_profile,
)

# %% jupyter={"source_hidden": true} tags=["solution"]
wrong = shares["attention"].drop("right")
lesser = wrong.drop(["two or three edits", "far off"]).sum()
Markdown(
    f"**Answer** ({with_which}). Of the test words {shares['attention']['right']:.0%} are right "
    f"with attention. The most frequent kind of mistake is *{wrong.idxmax()}* ({wrong.max():.0%} "
    f"of the words); one lesser mistake have {lesser:.0%}, {wrong['far off']:.0%} are far off. "
    + (
        "Read the lesser ones aloud: where they sound like the word, the phonemes do not say which "
        "of several spellings English chose, and the network cannot know it."
        if lesser > 0.1
        else ""
    )
)

# %% [markdown]
# ## Beside the report

# %%
# the course's own words, all of them, with its 20 epochs
of_course = {name: config.replace({"data.name": "p2g"}) for name, config in experiment.items()}
course_s = words.fingerprint == COURSE_FINGERPRINT  # and not somebody's own files
recorded = runs if profile == "full" and course_s else full_scale(of_course)
show(
    beside_published(
        recorded,
        {
            "ist_hw2/3a": "no attention",
            "ist_hw2/3b": "attention",
            "ist_hw2/3c": "attention",
        },
        here=runs if course_s else None,
        profile=profile,
    ),
    "Question 3 at full scale, with the course's own words, beside the IST HW2 report: without "
    "attention, with it, and sampled from the nucleus of p = 0.8.",
    label="tab-ist-spelling-published",
    runs=recorded,
    profile="full",
)

# %% [markdown] tags=["remove-cell"]
# ## Try it yourself
#
# In JupyterLab, choose the size of the network, its dropout and whether it has attention, and train
# it; what was trained before is shown at once. With how few units does attention still make up for
# the narrow last state? (In plain cells: `sweep(base, axes)`.)

# %% tags=["remove-cell"]
playground(
    experiment["attention"],
    {
        "network.attention": [False, True],
        "network.hidden_size": [32, 64, 128],
        "network.dropout": sorted({0.0, 0.6, dropout}),
        "epochs": sorted({2, epochs}),
    },
)

# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
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
import statistics

import matplotlib
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from labkit import figures
from labkit.data import load_words
from labkit.data.words import END, PAD, START, encoded
from labkit.figures import show
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
from labkit.training.error_rates import MISTAKE_KINDS, character_error_rate, mistake_kind
from labkit.training.spelling import trained_speller, vocabularies

# %% [markdown]
# ## The words

# %%
words = load_words(words_name, otherwise="cmudict")
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
# With attention ([Bahdanau et al. 2015](https://arxiv.org/abs/1409.0473)) each letter first asks
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
# Adam with a rate of 0.003 and batches of 64 words. While it learns, the decoder is given the right
# letters before (teacher forcing); in validation and test it reads its own. The weights of the
# lowest validation character error rate are kept. The *character error rate* (CER) is the number
# of letters that must be replaced, inserted or removed, over all words together, divided by the
# number of letters; the *word error rate* (WER) is the share of words that are not right.

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
    profile=judged_profile,
)

# %% tags=["solution"]
cer = judged.difference("attention", "no attention", "test_cer")
wer = judged.difference("attention", "no attention", "test_wer")
beams = {
    name: judged.mean(name, "test_beam_cer") - judged.mean(name, "test_cer") for name in judged
}
says = {-1: "it helps, as predicted", 0: "not told apart", 1: "it harms"}
Markdown(
    f"**Answer** (profile {judged_profile}, {words.title}, seeds: {len(judged['attention'])}). "
    f"With attention the character error rate of the test words is "
    f"{judged.spread('attention', 'test_cer')}, without it "
    f"{judged.spread('no attention', 'test_cer')}: {cer} points, {says[cer.sign]}. The word error "
    f"rates are {judged.spread('attention', 'test_wer')} and "
    f"{judged.spread('no attention', 'test_wer')}: {wer} points, {says[wer.sign]}. A beam of "
    f"{beam_width} changes the character error rate by {100 * beams['attention']:+.1f} points with "
    f"attention and {100 * beams['no attention']:+.1f} without. Margins are two standard errors."
)

# %% [markdown]
# ## Long words
#
# If one vector is too narrow for a long word, attention should help those most.

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
right = [pair.word for pair in tested]
groups = {
    "up to 5": range(1, 6),
    "6 or 7": range(6, 8),
    "8 or 9": range(8, 10),
    "10 and more": range(10, 99),
}
rows = []
for title, lengths in groups.items():
    places = [place for place, word in enumerate(right) if len(word) in lengths]
    if not places:
        continue
    rates = {
        name: statistics.fmean(
            character_error_rate(
                [right[place] for place in places], [its[place] for place in places]
            )
            for its in seeds_of
        )
        for name, seeds_of in spelled.items()
    }
    rows.append({"letters": title, "words": len(places), **rates})
by_length = pd.DataFrame(rows).set_index("letters")
by_length["difference"] = by_length["attention"] - by_length["no attention"]
show(
    by_length.map("{:.3f}".format).assign(words=by_length["words"]),
    "Character error rate of test words by their length, spelled greedily (mean of the seeds).",
    label="tab-ist-length",
    runs=told,
    profile=told_profile,
)

# %% tags=["solution"]
shortest, longest = by_length["difference"].iloc[0], by_length["difference"].iloc[-1]
Markdown(
    f"**Answer** (profile {told_profile}). Attention changes the character error rate of the "
    f"shortest words by {100 * shortest:+.1f} points and that of the longest by "
    f"{100 * longest:+.1f}: "
    + (
        "the longest profit more, as predicted."
        if longest < min(shortest, 0)
        else "here it is not the longest words that profit most."
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
    chosen = [  # six of a length that can be read: three that are right and three that are not
        place
        for ok in (True, False)
        for place in [
            place
            for place, pair in enumerate(words.test[: len(ids)])
            if (alone[place] == pair.word) == ok and 6 <= len(alone[place]) <= 9
        ][:3]
    ]
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
            [[*alone[place], "·"] for place in chosen],
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
        profile=profile,
    )
else:
    display(
        Markdown("*The weights of this run are not on this machine; `--fresh` trains it anew.*")
    )

# %% tags=["solution"]
if run.has_weights:
    along, entropies, count = 0, [], 0
    for start in range(0, len(ids), 100):
        pairs = words.test[start : min(start + 100, len(ids))]
        sources = encoded(pairs, phonemes, letters).phonemes
        written = ids[start : start + 100]
        before = torch.cat([torch.full_like(written[:, :1], START), written[:, :-1]], dim=1)
        with torch.no_grad():
            weights = model.attention_weights(sources, before)  # (n, T, S)
        there = (written != PAD) & (written != END)
        places = weights.argmax(2)
        both = there[:, 1:] & there[:, :-1]
        along += int((places[:, 1:] >= places[:, :-1])[both].sum())
        count += int(both.sum())
        entropies.append(weights.max(2).values[there])
    display(
        Markdown(
            f"**Answer** (profile {profile}). From one letter to the next the phoneme of the "
            f"largest weight stays or moves to the right in {along / count:.0%} of the steps. "
            "Nobody told the network that letters come in the order of the sounds. "
            "The largest weight of a letter is "
            f"{torch.cat(entropies).mean():.2f} on average: it looks at one phoneme, and at its "
            "neighbours, which decide how it is written."
        )
    )

# %% [markdown]
# ## Three guesses: nucleus sampling
#
# Instead of the most probable letter one is drawn from the *nucleus*, the smallest set of most
# probable letters whose probabilities add up to at least $p$ ([Holtzman et al.
# 2020](https://arxiv.org/abs/1904.09751)). Three spellings of each word are drawn; WER@3 counts a
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
    axes.set_ylim(0, 1)
    figure.legend(loc="outside right center")
show(
    figure,
    "The same against p, with and without attention.",
    label="fig-ist-nucleus",
    runs=judged,
    profile=judged_profile,
)

# %% tags=["solution"]
at_3 = {p: judged.mean("attention", f"test_nucleus_{p:g}_wer_at_{samples}") for p in nucleus}
best_p = min(at_3, key=at_3.get)
greedy_wer = judged.mean("attention", "test_wer")
Markdown(
    f"**Answer** (profile {judged_profile}). The larger $p$, the more letters are drawn that are "
    f"not the likeliest: from $p = {nucleus[0]:g}$ to $p = {nucleus[-1]:g}$ the character error "
    f"rate goes from {judged.mean('attention', f'test_nucleus_{nucleus[0]:g}_cer'):.3f} to "
    f"{judged.mean('attention', f'test_nucleus_{nucleus[-1]:g}_cer'):.3f}. One of {samples} "
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
    profile=told_profile,
)

# %% tags=["solution"]
wrong = shares["attention"].drop("right")
Markdown(
    f"**Answer** (profile {told_profile}). Of the test words {shares['attention']['right']:.0%} "
    f"are right with attention. The most frequent kind of mistake is *{wrong.idxmax()}* "
    f"({wrong.max():.0%} of the words); {wrong['far off']:.0%} are far off. Many of the lesser "
    "ones sound right when read aloud: the phonemes do not say which of several spellings English "
    "chose, and the network cannot know it either."
)

# %% [markdown]
# ## Beside the report

# %%
# the course's own words, all of them, with its 20 epochs
of_course = {name: config.replace({"data.name": "p2g"}) for name, config in experiment.items()}
recorded = runs if profile == "full" and words.name == "p2g" else full_scale(of_course)
show(
    beside_published(
        recorded,
        {
            "ist_hw2/3a": "no attention",
            "ist_hw2/3b": "attention",
            "ist_hw2/3c": "attention",
        },
    ),
    "Question 3 at full scale, with the course's own words, beside the IST HW2 report: without "
    "attention, with it, and sampled from the nucleus of p = 0.8.",
    label="tab-ist-spelling-published",
    runs=recorded,
    profile="full",
)

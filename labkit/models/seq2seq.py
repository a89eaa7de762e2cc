"""From a sequence to a sequence: one LSTM reads the phonemes of a word, another spells it.

    sources (N, S) ─ embedding ─→ LSTM in both directions ─→ memory (N, S, H), first state (h, c)
                                                                │                 │
    letters (N, T) ─ embedding ─→ LSTM ─→ states (N, T, H) ←────┼─────────────────┘
                                             │                  ▼
                                             └─→ [attention to the memory] ─→ logits (N, T, K)

S phonemes and T letters with the padding behind them, K kinds of letters, H the hidden size. Where
the right letters are known (teacher forcing) all steps are computed at once: what the attention
finds is not fed back into the LSTM, which so runs over the whole word in one call. `greedy`,
`nucleus` and `beam` spell step by step, all words of a batch together.

Source: Sutskever, Vinyals and Le 2014, "Sequence to sequence learning with neural networks",
arXiv:1409.3215; for the attention Bahdanau, Cho and Bengio 2015, "Neural machine translation by
jointly learning to align and translate", arXiv:1409.0473.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from labkit.data.words import END, PAD, START, UNKNOWN
from labkit.models.explain import evaluating

# logits (n, samples, K) of the words at these places (n,), and the step → letters (n, samples)
Choose = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Encoded:
    """What the decoder has of N words: `memory` is the h_i of the encoder, (N, S, H)."""

    memory: Tensor
    keys: Tensor | None  # W_h h_i (N, S, H), the same for each step; None without attention
    mask: Tensor  # (N, S), true at phonemes and false at padding
    state: tuple[Tensor, Tensor]  # the decoder's first h and c, (N, H) each

    def select(self, words: Tensor) -> "Encoded":
        """The words of these indices, in their order; one named twice is there twice."""
        keys = None if self.keys is None else self.keys[words]
        h, c = self.state
        return Encoded(self.memory[words], keys, self.mask[words], (h[words], c[words]))


class Seq2Seq(nn.Module):
    """A bidirectional LSTM as encoder, an LSTM as decoder, on request with additive attention.

    The states of the encoder's two directions (H/2 each) stand side by side; the last ones are the
    decoder's first. The output layer has the weight of the letters' embedding and a bias of its
    own, so `embedding_dim` is `hidden_size`. Dropout works on both embeddings, on the memory and on
    what the output layer reads: the decoder's state s_t, or with attention tanh(W [c_t; s_t] + b)
    (Luong et al. 2015, arXiv:1508.04025, eq. 5) with

        c_t = Σ_i α_ti h_i,   α_t = softmax_i(vᵀ tanh(W_s s_t + W_h h_i))   over the phonemes i

    (Bahdanau et al. 2015, eq. 5, 6 and A.1.2; theirs goes into the next step as well, this not).

    Raises ValueError where the sizes do not fit each other.

    >>> sum(p.numel() for p in Seq2Seq(107, 93, attention=True).parameters())
    322909
    """

    def __init__(
        self,
        num_sources: int,
        num_targets: int,
        *,
        embedding_dim: int = 128,
        hidden_size: int = 128,
        dropout: float = 0.3,
        attention: bool = False,
    ):
        super().__init__()
        if embedding_dim != hidden_size or hidden_size < 2 or hidden_size % 2:
            raise ValueError(
                f"embedding_dim is {embedding_dim} and hidden_size {hidden_size}; make them equal "
                "(the output layer has the embedding's weight) and even (half per direction)"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is {dropout}; give a probability below 1")
        self.source_embedding = nn.Embedding(num_sources, embedding_dim, padding_idx=PAD)
        half = hidden_size // 2
        self.encoder = nn.LSTM(embedding_dim, half, batch_first=True, bidirectional=True)
        self.target_embedding = nn.Embedding(num_targets, embedding_dim, padding_idx=PAD)
        # with variance 1 its logits would be 10 in size from the start: sure, and wrong
        nn.init.normal_(self.target_embedding.weight, std=hidden_size**-0.5)
        self.decoder = nn.LSTM(embedding_dim, hidden_size, batch_first=True)
        self.output_bias = nn.Parameter(torch.zeros(num_targets))
        self.dropout, self.attention = dropout, attention
        if attention:
            self.query = nn.Linear(hidden_size, hidden_size, bias=False)  # W_s
            self.key = nn.Linear(hidden_size, hidden_size, bias=False)  # W_h
            self.score = nn.Linear(hidden_size, 1, bias=False)  # v
            self.combine = nn.Linear(2 * hidden_size, hidden_size)

    def encode(self, sources: Tensor) -> Encoded:
        """Read the phonemes (N, S), int64 with the padding behind; padding changes nothing.

        Raises ValueError where a word has no phonemes, or padding in front of one.
        """
        mask = _phonemes(sources)
        embedded = self._drop(self.source_embedding(sources))  # (N, S, H)
        if not len(sources):
            none = embedded.new_zeros(0, self.decoder.hidden_size)
            return Encoded(embedded, embedded if self.attention else None, mask, (none, none))
        # packed, so that each direction begins and ends at the word's own first and last phoneme
        lengths = mask.sum(dim=1).cpu()
        packed = pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        packed, (h, c) = self.encoder(packed)
        memory, _ = pad_packed_sequence(packed, batch_first=True, total_length=sources.shape[1])
        memory = self._drop(memory)  # (N, S, H)
        state = h.transpose(0, 1).flatten(1), c.transpose(0, 1).flatten(1)  # (2, N, H/2) → (N, H)
        return Encoded(memory, self.key(memory) if self.attention else None, mask, state)

    def forward(self, sources: Tensor, letters_in: Tensor) -> Tensor:
        """Logits of each next letter under teacher forcing: (N, S), (N, T) → (N, T, K).

        `letters_in` is START and the letters; entry t of the logits is for the letter behind them.
        """
        encoded = self.encode(sources)
        return self.logits(self._states(encoded, letters_in), encoded)

    def attention_weights(self, sources: Tensor, letters_in: Tensor) -> Tensor:
        """α_ti of phoneme i for the letter behind `letters_in` t: (N, T, S), 0 at padding.

        Raises ValueError of a model without attention.
        """
        if not self.attention:
            raise ValueError("attention is False; build the model with attention=True")
        encoded = self.encode(sources)
        return self._weights(self._states(encoded, letters_in), encoded)

    def logits(self, states: Tensor, encoded: Encoded) -> Tensor:
        """Of the decoder's states s_t (N, T, H): (N, T, K). T may be steps, samples or beams."""
        if self.attention:
            contexts = self._weights(states, encoded) @ encoded.memory  # (N, T, S) @ (N, S, H)
            states = torch.tanh(self.combine(torch.cat([contexts, states], dim=2)))  # (N, T, H)
        return F.linear(self._drop(states), self.target_embedding.weight, self.output_bias)

    def _states(self, encoded: Encoded, letters_in: Tensor) -> Tensor:
        h, c = encoded.state
        embedded = self._drop(self.target_embedding(letters_in))  # (N, T, H)
        if not embedded.numel():
            return embedded  # an LSTM takes no empty batch
        return self.decoder(embedded, (h[None], c[None]))[0]

    def _weights(self, states: Tensor, encoded: Encoded) -> Tensor:
        sums = self.query(states)[:, :, None] + encoded.keys[:, None]  # (N, T, S, H)
        scores = self.score(torch.tanh(sums))[..., 0]  # (N, T, S)
        return scores.masked_fill(~encoded.mask[:, None], -torch.inf).softmax(dim=2)

    def _drop(self, x: Tensor) -> Tensor:
        """Dropout; F.dropout draws its mask three times as slowly on a CPU."""
        if not self.training or not self.dropout:
            return x
        return x * ((torch.rand_like(x) >= self.dropout) * (1 / (1 - self.dropout)))


def greedy(model: Seq2Seq, sources: Tensor, *, longest: int) -> Tensor:
    """The most probable letter at each step: sources (N, S) → letters (N, longest).

    A word ends with END where that came within `longest` letters; behind it is PAD. PAD, START and
    UNKNOWN are never spelled, here and below: the probabilities are those of the other letters. In
    evaluation mode, without gradients; the model is left as it was.

    Raises ValueError where `longest` is below 1, or a word has no phonemes.
    """
    return _spell(model, sources, 1, longest, lambda logits, words, step: logits.argmax(2))[:, 0]


def nucleus(
    model: Seq2Seq,
    sources: Tensor,
    *,
    p: float,
    samples: int = 1,
    longest: int,
    generator: torch.Generator | None = None,
    uniforms: Tensor | None = None,
) -> Tensor:
    """Letters drawn from the nucleus at each step: sources (N, S) → (N, samples, longest).

    The nucleus is the smallest set of most probable letters whose probabilities add up to at least
    `p`, in (0, 1]; a letter is drawn from it with its probability over their sum. Ends as in
    `greedy`.

    Sample j of word i takes its letter t by `uniforms[i, j, t]`, in [0, 1), and by nothing else.
    They are drawn from `generator` for all words at once; who spells a test set in batches draws
    (words, samples, longest) of them once, and gives each batch its own.

    Raises ValueError where a value is out of its range, or the draws have no source or two.

    Source: Holtzman et al. 2020, "The curious case of neural text degeneration", arXiv:1904.09751.
    """
    if not 0 < p <= 1:
        raise ValueError(f"p is {p}; give a probability above 0, and 1 for all letters")
    _at_least_one(samples=samples, longest=longest)
    if (generator is None) == (uniforms is None):
        given = "neither" if generator is None else "both"
        raise ValueError(f"{given} of generator and uniforms given; give one of them")
    shape = len(sources), samples, longest
    if uniforms is None:
        uniforms = torch.rand(shape, generator=generator, device=generator.device)
    if uniforms.shape != shape:
        raise ValueError(
            f"uniforms are {tuple(uniforms.shape)}; give (N, samples, longest), here {shape}"
        )
    uniforms = uniforms.to(sources.device)

    def drawn(logits: Tensor, words: Tensor, step: int) -> Tensor:
        return draw(logits.softmax(dim=2), p, uniforms[words, :, step])

    return _spell(model, sources, samples, longest, drawn)


def draw(probabilities: Tensor, p: float, uniforms: Tensor) -> Tensor:
    """From the nucleus of probabilities (…, K), by uniform numbers (…): indices (…).

    >>> draw(torch.tensor([[0.1, 0.6, 0.3]] * 2), 0.8, torch.tensor([0.6, 0.7]))
    tensor([1, 2])
    """
    ordered, letters = probabilities.sort(dim=-1, descending=True, stable=True)
    sums = ordered.cumsum(dim=-1)
    # a letter belongs to it as long as those before do not reach p
    inside = (F.pad(sums[..., :-1], (1, 0)) < p) & (ordered > 0)
    last = (inside.sum(dim=-1, keepdim=True) - 1).clamp(min=0)  # of NaN nothing is inside
    reached = uniforms[..., None] * sums.gather(-1, last)
    # where rounding reaches the whole sum, no further than the nucleus
    place = (sums <= reached).sum(dim=-1, keepdim=True).minimum(last)
    return letters.gather(-1, place)[..., 0]


def beam(model: Seq2Seq, sources: Tensor, *, width: int, longest: int) -> tuple[Tensor, Tensor]:
    """The most probable of the spellings that `width` beams find: (N, longest) and (N,).

    The second is ln P(letters | phonemes), END included, which is what is compared; nothing is
    divided by the length. Ends as in `greedy`, which is the beam of width 1.

    Raises ValueError where `width` or `longest` is below 1, or a word has no phonemes.
    """
    _at_least_one(width=width)
    with evaluating(model), torch.no_grad():
        spelling = _Spelling(model, sources, width, longest)
        # the beams of a word begin alike, so only the first of them counts
        totals = spelling.h.new_full((len(sources), width), -torch.inf)
        totals[:, 0] = 0
        while spelling.goes_on():
            log_p = spelling.logits().log_softmax(dim=2)  # (n, width, K)
            # a spelling that has ended goes on with PAD alone, at no cost
            log_p[spelling.ended] = -torch.inf
            log_p[..., PAD][spelling.ended] = 0
            sums = totals[spelling.words][..., None] + log_p
            best, places = sums.flatten(1).topk(width, dim=1)  # (n, width·K) → (n, width)
            totals[spelling.words] = best
            spelling.add(places % log_p.shape[2], parents=places // log_p.shape[2])
            # a sum only falls, so no other overtakes a first that has ended
            spelling.keep(~spelling.ended[:, 0])
    return spelling.letters[:, 0], totals[:, 0]


def _spell(model: Seq2Seq, sources: Tensor, samples: int, longest: int, choose: Choose) -> Tensor:
    """Letter by letter until all have ended: (N, samples, longest)."""
    with evaluating(model), torch.no_grad():
        spelling = _Spelling(model, sources, samples, longest)
        while spelling.goes_on():
            spelling.add(choose(spelling.logits(), spelling.words, spelling.step))
            spelling.keep(~spelling.ended.all(dim=1))
    return spelling.letters


class _Spelling:
    """B samples or beams of each of N words, and the decoder over the n words not yet spelled.

    Without dropout W e + b is one of K vectors for the letter e, so it is looked up.
    """

    def __init__(self, model: Seq2Seq, sources: Tensor, rows: int, longest: int):
        _at_least_one(longest=longest)
        self.model, self.encoded = model, model.encode(sources)
        lstm, embedding = model.decoder, model.target_embedding.weight
        biases = lstm.bias_ih_l0 + lstm.bias_hh_l0
        self.inputs = F.linear(embedding, lstm.weight_ih_l0, biases)  # (K, 4·H)
        self.never = torch.tensor([PAD, START, UNKNOWN], device=sources.device)
        self.letters = sources.new_full((len(sources), rows, longest), PAD)
        self.step = 0
        # of the words that are not yet spelled: their places (n,), (n, B), and states (n, B, H)
        self.words = torch.arange(len(sources), device=sources.device)
        self.last = torch.full_like(self.letters[:, :, 0], START)
        self.ended = torch.zeros_like(self.last, dtype=torch.bool)
        self.h, self.c = (part[:, None].repeat(1, rows, 1) for part in self.encoded.state)

    def goes_on(self) -> bool:
        return len(self.words) > 0 and self.step < self.letters.shape[2]

    def logits(self) -> Tensor:
        """Read the last letters: logits of the next (n, B, K)."""
        recurrent = F.linear(self.h, self.model.decoder.weight_hh_l0)  # (n, B, 4·H)
        gates = F.embedding(self.last, self.inputs) + recurrent
        i, f, g, o = gates.chunk(4, dim=2)  # PyTorch's order
        self.c = torch.sigmoid(f) * self.c + torch.sigmoid(i) * torch.tanh(g)
        self.h = torch.sigmoid(o) * torch.tanh(self.c)
        return self.model.logits(self.h, self.encoded).index_fill(2, self.never, -torch.inf)

    def add(self, letters: Tensor, parents: Tensor | None = None) -> None:
        """The next letters (n, B), of beams the letters behind these `parents` (n, B)."""
        if parents is not None:
            rows = torch.arange(len(parents), device=parents.device)[:, None]
            self.h, self.c = self.h[rows, parents], self.c[rows, parents]
            self.ended = self.ended[rows, parents]
            self.letters[self.words] = self.letters[self.words[:, None], parents]
        self.last = letters.masked_fill(self.ended, PAD)
        self.letters[self.words, :, self.step] = self.last
        self.ended = self.ended | (self.last == END)
        self.step += 1

    def keep(self, going: Tensor) -> None:
        """Drop the words that are spelled: (n,), false at those."""
        if going.all():
            return
        left = going.nonzero()[:, 0]
        self.words, self.last, self.ended = self.words[left], self.last[left], self.ended[left]
        self.h, self.c, self.encoded = self.h[left], self.c[left], self.encoded.select(left)


def _phonemes(sources: Tensor) -> Tensor:
    """Where sources are no padding: (N, S)."""
    if sources.ndim != 2:
        raise ValueError(f"sources are {tuple(sources.shape)}; give (N, S), padded with {PAD}")
    mask = sources != PAD
    empty = ~mask.any(dim=1)
    wrong = empty | (mask[:, 1:] & ~mask[:, :-1]).any(dim=1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        what = "no phonemes; leave it out" if empty[row] else "padding inside; put it behind"
        raise ValueError(f"row {row} of sources has {what}")
    return mask


def _at_least_one(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; give at least 1")

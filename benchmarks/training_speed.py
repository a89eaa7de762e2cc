"""Images per second of one epoch: labkit beside a plain loop, Lightning, fastai and Keras.

The setting and the ways are in `ways.py`, how they take turns in `turns.py`. A peer that is not
installed is named as such. No test asserts a time: machines differ, the ratios are what carries
over.

    make bench ARGS="--images 2000 --rounds 3"
"""

import statistics

from turns import machine, options, parse, ratios, spread, take_turns
from ways import Setting, all_ways


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--ways", nargs="*", help="only those whose names begin so")
    chosen = parse(parser)
    setting = Setting(images=chosen.images, batch_size=chosen.batch_size)
    wanted = tuple(chosen.ways or [""])

    print(machine("torchvision", "lightning", "fastai", "keras", "tensorflow-cpu"))
    print(f"{chosen.images} images, batch {chosen.batch_size}, {chosen.rounds} rounds in turn\n")
    ways = {name: way for name, way in all_ways(setting).items() if name.startswith(wanted)}
    turns = take_turns(ways, chosen.rounds)

    rates = {name: [chosen.images / s for s in each] for name, each in turns.seconds.items()}
    first = next(iter(rates))  # the plain loop, unless other ways were asked for
    print(f"{'way':28} {'images/s, median (lowest–highest)':>34} {f'ratio to {first}':>24}")
    for name, values in rates.items():
        ratio = spread(ratios(values, rates[first]), ".2f")
        print(f"{name:28} {spread(values):>34} {ratio:>24}")
    for name, why in turns.left_out.items():
        print(f"{name:28} left out: {why}")

    for name, values in rates.items():
        if name.startswith("labkit"):
            times = {
                other: statistics.median(ratios(values, rates[other]))
                for other in rates
                if not other.startswith("labkit")
            }
            print(f"\n{name} is " + ", ".join(f"{r:.2f} × {other}" for other, r in times.items()))
    print(f"While waiting for its turn no process used more than {turns.idle:.0%} of a core.")


if __name__ == "__main__":
    main()

"""labkit's trainer beside the loop that one writes first, on the same network, data and batch size.

The plain loop is the PyTorch tutorials': a DataLoader (no workers) over images with torchvision's
transforms (flip, to tensor, normalise), one step per batch. Both run in turn, several times, in
this one process; the table gives the median images per second, the spread, and the ratio. No test
asserts a time: machines differ, the ratio is what carries over.

    make bench ARGS="--images 2000 --rounds 5"
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

from labkit.data import Split, load
from labkit.data._torchvision import import_torchvision
from labkit.models import build, tdt4265_first, tdt4265_improved
from labkit.training import SGD, Augmentation, Config, Data, Trainer
from labkit.training.store import device_name

NETWORKS = {"first (task 2)": tdt4265_first(), "improved (task 3a)": tdt4265_improved()}


class Pictures(Dataset):
    """One image at a time through torchvision's transforms, as a student's data set does."""

    def __init__(self, split: Split):
        import_torchvision()
        from torchvision.transforms import v2

        self.images = split.images.permute(0, 2, 3, 1).numpy()  # (N, H, W, C), as PIL wants it
        self.labels = split.labels.tolist()
        self.transform = v2.Compose(
            [
                v2.ToPILImage(),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.25] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(self.images[index]), self.labels[index]


def plain_epoch(model, optimizer, loader, device) -> None:
    model.train()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # the running loss that such a loop prints


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--images", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--batch-size", type=int, default=64)
    chosen = options.parse_args()

    dataset = load("cifar10")
    base = Config(
        network=tdt4265_first(),
        optimizer=SGD(learning_rate=0.01, momentum=0.9),
        augmentation=Augmentation(flip=True),
        data=Data(train_images=chosen.images, validation_images=1, test_images=1),
        batch_size=chosen.batch_size,
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device_name(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{chosen.images} images, batch {chosen.batch_size}, {chosen.rounds} rounds in turn\n")
    print(f"{'network':20} {'way':18} {'images/s ':>18} {'lowest–highest':>16} {'ratio':>6}")

    for name, network in NETWORKS.items():
        ways = {"plain loop": _plain(network, dataset, base, device)}
        for precision in dict.fromkeys(["fp32", _native(device)]):
            config = base.replace(network=network, precision=precision)
            ways[f"labkit {precision}"] = _labkit(config, dataset, device)
        rates = {way: [] for way in ways}
        for step in range(chosen.rounds + 1):
            for way, epoch in ways.items():
                started = time.perf_counter()
                epoch()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if step:  # the first round warms up
                    rates[way].append(chosen.images / (time.perf_counter() - started))
        plain = statistics.median(rates["plain loop"])
        for way, values in rates.items():
            median = statistics.median(values)
            spread = f"{min(values):,.0f}–{max(values):,.0f}"
            print(f"{name:20} {way:18} {median:18,.0f} {spread:>16} {median / plain:6.2f}")


def _native(device: torch.device) -> str:
    from labkit.training.config import resolve_precision

    return resolve_precision("auto", device)


def _plain(network, dataset, config, device):
    model = build(network).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    pictures = Pictures(dataset.train.first(config.data.train_images))
    loader = DataLoader(pictures, batch_size=config.batch_size, shuffle=True)
    return lambda: plain_epoch(model, optimizer, loader, device)


def _labkit(config, dataset, device):
    trainer = Trainer(config, dataset, device)
    order = torch.Generator().manual_seed(0)
    return lambda: trainer.train_epoch(
        torch.randperm(len(trainer.train), generator=order).to(device).split(config.batch_size)
    )


if __name__ == "__main__":
    main()

"""The network of a run as a module: with its first weights, or with those of a run."""

from collections.abc import Mapping

from torch import Tensor, nn

from labkit.models import build, transfer
from labkit.training.config import Config


def first_model(config: Config, *, pooling_first: bool = True) -> nn.Sequential:
    """The network of `config` as training begins: (N, C, H, W) → (N, K).

    Its weights are drawn from PyTorch's global generator; where `config.pretrained` names a
    backbone, all but the classifier's are the backbone's (with `classes` those as well), and only
    the chosen part asks for gradients. `pooling_first` as in `labkit.models.build`.

    >>> from labkit.models import tdt4265_first
    >>> from labkit.training import SGD
    >>> config = Config(network=tdt4265_first(), optimizer=SGD(learning_rate=0.05))
    >>> len(first_model(config)), first_model(config)[0].weight.shape
    (13, torch.Size([32, 3, 5, 5]))
    """
    model = build(config.network, pooling_first=pooling_first)
    if config.initialisation == "kaiming-normal":
        model.apply(_kaiming_normal)
    if chosen := config.pretrained:
        transfer.load_pretrained(model, chosen.backbone, classes=chosen.classes)
        transfer.train_only(model, chosen.backbone, chosen.trainable, chosen.batch_norm)
    return model


def trained_model(config: Config, weights: Mapping[str, Tensor]) -> nn.Sequential:
    """The network of `config` with the `weights` of its run, in evaluation mode.

    A run that trained on kept features recorded the weights behind them alone: those before are the
    backbone's. ValueError names a weight that does not belong here, or that is missing.

        run = sweep(config)["run"][0]
        logits = trained_model(config, run.weights)(images)  # (N, C, H, W) → (N, K)
    """
    model = first_model(config)
    missing, unknown = model.load_state_dict(weights, strict=False)
    if unknown or (missing and not config.pretrained):
        name, verb = (unknown[0], "has not") if unknown else (missing[0], "needs")
        raise ValueError(f"these are the weights of another run: this Config {verb} {name!r}")
    return model.eval()


def _kaiming_normal(module: nn.Module) -> None:
    """Normal with variance 2/(inputs of a unit), biases 0 (He et al. 2015, arXiv:1502.01852)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)

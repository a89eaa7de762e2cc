"""Hand calculation: sizes, windows, networks, tasks, checks and exercises, on the standard library.

Nothing here imports torch or NumPy (their arrays are accepted all the same, and torch is imported
when a torch module is given), so that it also runs in a browser. The modules are loaded when one of
their names is first asked for, so that importing the package takes a blink.
"""

from importlib import import_module

_NAMES = {
    "shapes": ("OutputSize Solution TransposedOutputSize output_size solve transposed_output_size"),
    "windows": "Window Worked avg_pool convolve cross_correlate max_pool",
    "layers": (
        "AdaptiveAvgPool2d AvgPool2d BatchNorm1d BatchNorm2d Conv2d ConvTranspose2d Dropout "
        "Flatten GlobalAvgPool2d LeakyReLU Linear LogSoftmax MaxPool2d ReLU ReLU6 Residual "
        "Sigmoid Softmax Tanh ZeroPad2d"
    ),
    "network": "LayerTable derivation layer_table num_parameters",
    "comparison": "Comparison compare",
    "counts": "FullyConnectedEquivalent ParameterCount ReceptiveField",
    "tasks": "Choice Expected Quotient Task",
    "mistakes": "Explanation Mistake",
    "checking": "Verdict check",
    "questions": "question",
    "exercises": "exercise exercise_named",
    "render": "answer_text markdown text working",
    "markup": "html",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import_module(f"{__name__}.render")  # what is loaded shall be able to show itself
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

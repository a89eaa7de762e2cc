"""Frozen, strictly typed descriptions whose mistakes are one readable line each."""

import difflib
from inspect import Parameter, Signature
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from labkit.errors import Told


class ConfigError(Told, ValueError):
    """A Config that cannot be: one line for each field, with its value and what is allowed."""


class Strict(BaseModel):
    """A frozen record of typed fields; no field is guessed, converted or ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        # what `?` and Shift-Tab show: names and defaults, what must be given first; no field that
        # can have its one value only
        fields = [
            (name, field)
            for name, field in cls.model_fields.items()
            if get_args(field.annotation) != (field.default,)
        ]
        cls.__signature__ = Signature(
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if field.is_required() else field.default,
            )
            for name, field in sorted(fields, key=lambda it: not it[1].is_required())
        )

    def __init__(self, *unnamed: Any, **values: Any):
        """Fields are given by name; a ConfigError has a line for each that cannot be."""
        if unnamed:
            first = next(iter(type(self).model_fields))
            raise ConfigError(
                f"{type(self).__name__}({unnamed[0]!r}): name the field: {first}={unnamed[0]!r}"
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_explain(type(self), error)) from None

    def __setattr__(self, name: str, value: Any):
        raise ConfigError(
            f"{type(self).__name__}.{name}: {value!r}: what is made stays as it is; make another, "
            f"with replace({name}={value!r}) of the Config"
        )

    def __repr_args__(self):
        """Only what is not the default, so that a message shows what was chosen."""
        for name, field in type(self).model_fields.items():
            if getattr(self, name) != field.default:
                yield name, getattr(self, name)

    __str__ = BaseModel.__repr__


class Choice(Strict):
    """A kind of field, such as Optimizer, whose subclasses are what can be chosen."""

    def __init__(self, *unnamed: Any, **values: Any):
        if type(self) in Choice.__subclasses__():
            raise ConfigError(f"{type(self).__name__}: give one of {self.choices()}")
        super().__init__(*unnamed, **values)

    @classmethod
    def choices(cls) -> str:
        """The subclasses, as a message names them."""
        return ", ".join(f"{kind.__name__}(…)" for kind in cls.__subclasses__())


def _explain(model: type[Strict], error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        # the name and places in a list; what else pydantic names are its own kinds of validators
        field = ".".join(
            str(part)
            for place, part in enumerate(problem["loc"])
            if place == 0 or isinstance(part, int)
        )
        kind = model.model_fields[field].annotation if field in model.model_fields else None
        if problem["type"] == "extra_forbidden":
            names = [name for name in model.model_fields if name != "name"]
            near = [name for name in names if field in name]
            near = near or difflib.get_close_matches(field, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? T" if near else "t"
            fields = ", ".join(names)
            allowed = f"{problem['input']!r}: unknown; {hint}he fields are {fields}"
        elif problem["type"] == "missing":
            allowed = "missing; give it a value"
        elif isinstance(kind, type) and issubclass(kind, Choice):
            allowed = f"{problem['input']!r}: give one of {kind.choices()}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            allowed = f"{problem['input']!r}: {message[0].lower()}{message[1:]}"
        if not field:  # several fields that do not go together
            lines.append(f"{model.__name__}: {message}")
        else:
            lines.append(f"{model.__name__}.{field}: {allowed}")
    return "\n".join(lines)

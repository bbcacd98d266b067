"""Registry of cells by name, for command lines and hyperparameter searches.

It has one row per cell. The paper's nine come from the table in `zoo.variants`; `register` adds
others. Reading the rows does not import Keras; only requesting a class or a model does.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from zoo.variants import STEPPED, VARIANTS, Variant

if TYPE_CHECKING:
    import keras

_Cell = TypeVar("_Cell")
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclasses.dataclass(frozen=True)
class _Row:
    """A registered cell."""

    code: str
    name: str
    path: str
    variant: Variant | None = None
    cell: type | None = None


_ROWS: dict[str, _Row] = {
    code: _Row(code, variant.name, f"zoo.cells:{variant.class_name}", variant)
    for code, variant in VARIANTS.items()
}
"""All registered cells by code; importing `zoo.cells` adds the classes of the nine."""

_OFFERED = {
    code: _Row(code, re.sub("(?<!^)(?=[A-Z])", "_", name[:-4]).lower(), f"zoo.adaptive_cell:{name}")
    for code, name in STEPPED.items()
}
"""Further cells, registered on first use."""


def register(
    code: str, *, name: str = "", variant: Variant | None = None, package: str = ""
) -> Callable[[type[_Cell]], type[_Cell]]:
    """Registers a class as the cell with the given code.

    The class must be constructible as `cell(units)` and be a cell for `keras.layers.RNN`, with
    `units`, `state_size` and `call(inputs, states)`. With `variant`, it gets an attribute of that
    name and is assumed to have the weights of `zoo.VariantCell` and to compute what the switches
    say: a training engine that knows these need not call it.

    Args:
        code: letters, digits, `-` and `_`, as it is also used in file names. Case-insensitive.
        name: the cell's name in words. Default: that of `variant`, or the code.
        variant: the switches, for a `zoo.VariantCell` or an equivalent class.
        package: package name under which Keras saves the class, unless it is already registered
            with Keras. Default: the class's package.

    Returns:
        A decorator that returns the class.

    Raises:
        ValueError: if the code is invalid, or another cell already has the code or name.

    Example:
        >>> import zoo
        >>> @zoo.register("BARE", variant=zoo.Variant("BARE", "bare", False, False, False))
        ... class BareCell(zoo.VariantCell):
        ...     "No gates at all."
        >>> zoo.make_cell("bare", units=64).units
        64
        >>> zoo.registry.unregister("BARE")
    """

    def decorate(cell: type[_Cell]) -> type[_Cell]:
        import keras

        if variant is not None:
            cell.variant = variant  # type: ignore[attr-defined]
        if keras.saving.get_registered_name(cell) == cell.__name__:
            home = package or cell.__module__.partition(".")[0]
            keras.saving.register_keras_serializable(home)(cell)
        _enter(code, name or (variant.name if variant else code), _path(cell), variant, cell)
        return cell

    return decorate


def _path(cell: type) -> str:
    return f"{cell.__module__}:{cell.__qualname__}"


def _enter(code: str, name: str, path: str, variant: Variant | None, cell: type) -> None:
    """Adds a row, replacing an earlier one of the same class."""
    if not isinstance(code, str) or not _CODE.fullmatch(code) or code.lower() == "all":
        raise ValueError(
            "Received an invalid code of a cell, expected letters, digits, - and _, and not all, "
            f"got {code!r} for {path}."
        )
    for row in _ROWS.values():
        if row.path != path and {code.lower(), name.lower()} & {row.code.lower(), row.name.lower()}:
            raise ValueError(
                f"Received an invalid code of a cell, expected one that is free, got {code!r} "
                f"(name {name!r}) for {path}: {row.path} is registered as {row.code!r}."
            )
    for known in [known for known, row in _ROWS.items() if row.path == path and known != code]:
        del _ROWS[known]
    _ROWS[code] = _Row(code, name, path, variant, cell)


def unregister(code: str) -> None:
    """Removes a cell that a user registered."""
    if code not in VARIANTS:
        _ROWS.pop(code, None)


def list_variants() -> list[str]:
    """Lists the codes of all cells: the nine in the paper's order, then others as registered.

    Example:
        >>> list_variants()
        ['V', 'NIG', 'NFG', 'NOG', 'NIAF', 'NOAF', 'CIFG', 'NP', 'FGR']
    """
    return list(_ROWS)


def find_variant(spec: str) -> str:
    """Finds the code of a cell; most functions here resolve their argument `code` this way.

    Args:
        spec: a code (`CIFG`, in any case), a name (`coupled_input_forget_gate`), one of `STEPPED`,
            or `package.module:CellClass`. In the last form, the module is imported, and a class
            that is not yet registered is registered under its own name.

    Raises:
        ValueError: if there is no such cell; the message suggests the closest match, or says what
            is wrong with the module or class.

    Example:
        >>> find_variant("no_forget_gate"), find_variant("zoo.cells:VanillaCell")
        ('NFG', 'V')
    """
    if isinstance(spec, str) and ":" in spec:
        return _find_path(spec.strip())
    rows = (_OFFERED | _ROWS).values()
    codes = {row.code.lower(): row.code for row in rows}
    codes |= {row.name.lower(): row.code for row in rows}
    if isinstance(spec, str) and spec.lower() in codes:
        return _offer(codes[spec.lower()])
    near = difflib.get_close_matches(str(spec).lower(), codes, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"Received an unknown variant, expected one of {', '.join(_ROWS)} or "
        f"package.module:CellClass, got {spec!r}. Did you mean {codes[near]!r}?"
    )


def find_variants(specs: Iterable[str]) -> list[str]:
    """Finds the codes of several cells, without duplicates, in the order of `list_variants`.

    Args:
        specs: as in `find_variant`; also `package.module:NAMES`, where `NAMES` is a list or mapping
            of names of cells in that module.

    Raises:
        ValueError: as in `find_variant`.

    Example:
        >>> find_variants(["NFG", "V", "vanilla"])
        ['V', 'NFG']
    """
    found = set()
    for spec in specs:
        module, _, name = spec.strip().partition(":")
        listed = _find(f"{module}:{name}") if name else None
        if isinstance(listed, Mapping | list | tuple):
            found |= {find_variant(f"{module}:{one}") for one in listed}
        else:
            found.add(find_variant(spec.strip()))
    return [code for code in list_variants() if code in found]


def _offer(code: str) -> str:
    """Registers the cell if it is one of `_OFFERED`, and returns its code."""
    if code in _OFFERED:
        _ROWS.setdefault(code, _OFFERED[code])
    return code


def _find_path(path: str) -> str:
    """Finds the code of a class by its path, and registers the class if necessary."""
    for row in (_OFFERED | _ROWS).values():
        if row.path == path:
            return _offer(row.code)
    cell = _load(path)
    for row in _ROWS.values():
        # Registered on import of its module, or known by the path of its definition.
        if row.cell is cell or row.path == _path(cell):
            return row.code
    _check(cell, path)
    _enter(cell.__name__, cell.__name__, path, None, cell)
    return cell.__name__


def _find(path: str) -> Any:
    """Imports the object that a path names."""
    # Imported late, so that the cells work even if another package `common` shadows ours.
    from common import import_path

    try:
        return import_path.find(path)
    except ValueError as error:
        raise _unknown(path, str(error)) from error


def _load(path: str) -> type:
    """Imports a class."""
    cell = _find(path)
    if not isinstance(cell, type):
        raise _unknown(path, f"{path.partition(':')[2]} is not a class")
    return cell


def _unknown(path: str, reason: str) -> ValueError:
    return ValueError(
        f"Received an unknown variant, expected package.module:CellClass, got {path!r}: {reason}."
    )


def _check(cell: type, path: str) -> None:
    """Checks that a class has the interface of Keras' cells."""
    import keras

    try:
        made: Any = cell(1)
        reason = ", ".join(n for n in ("units", "state_size", "call") if not hasattr(made, n))
    except Exception as error:
        reason = f"{cell.__name__}(1) raises {type(error).__name__}: {' '.join(str(error).split())}"
    else:
        reason = f"it has no {reason}" if reason else ""
        if isinstance(made, keras.layers.RNN):
            reason = "it is a layer, not a cell"
    if reason:
        raise ValueError(
            "Received an unknown variant, expected a cell of Keras, made as CellClass(units) and "
            f"with units, state_size and call, got {path!r}: {reason}."
        )


def switches(code: str) -> Variant | None:
    """Returns the switches of a variant; None for a cell without switches or an unknown code.

    Example:
        >>> switches("NFG").forget_gate
        False
    """
    return _ROWS[code].variant if code in _ROWS else None


def get_variant(code: str) -> Variant:
    """Returns the switches of a variant, found by code or name as in `find_variant`.

    Raises:
        ValueError: if there is no such variant, or it has no switches.

    Example:
        >>> get_variant("no_forget_gate").code
        'NFG'
    """
    variant = switches(find_variant(code))
    if variant is None:
        raise ValueError(f"Received a cell without switches, expected a variant, got {code!r}.")
    return variant


def cell_class(code: str) -> type[keras.layers.Layer]:
    """Returns the class of a cell.

    Example:
        >>> cell_class("V").__name__
        'VanillaCell'
    """
    row = _ROWS[find_variant(code)]
    return row.cell or _load(row.path)


def cell_path(code: str) -> str:
    """Returns `package.module:CellClass` of a cell, for `find_variant` in another process.

    Example:
        >>> cell_path("V")
        'zoo.cells:VanillaCell'
    """
    return _ROWS[find_variant(code)].path


def variant_name(code: str) -> str:
    """Returns a variant's name in words, for display; an unknown code is returned unchanged.

    Example:
        >>> variant_name("NIG")
        'no input gate'
    """
    return _ROWS[code].name.replace("_", " ") if code in _ROWS else code


def make_cell(code: str, **arguments: Any) -> keras.layers.Layer:
    """Makes a cell by code or name.

    Args:
        code: as in `find_variant`.
        **arguments: arguments of the cell, see `zoo.VariantCell`.

    Raises:
        ValueError: if there is no such cell, or an argument is wrong.

    Example:
        >>> make_cell("CIFG", units=64).units
        64
    """
    return cell_class(code)(**arguments)


def accepted(code: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Selects the arguments that a cell's constructor, or a base class's, accepts by name.

    Args:
        code: as in `find_variant`.
        arguments: arguments by name. A cell with switches accepts none of them.

    Example:
        >>> accepted("DA-V", {"max_depth": 2, "stride": 3}), accepted("V", {"max_depth": 2})
        ({'max_depth': 2}, {})
        >>> unregister("DA-V")
    """
    if not arguments or switches(find_variant(code)) is not None:
        return {}
    known: set[str] = set()
    for base in cell_class(code).__mro__:
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters
            known |= {*parameters}
            if all(one.kind is not one.VAR_KEYWORD for one in parameters.values()):
                break
    return {name: value for name, value in arguments.items() if name in known}


def count_params(code: str, input_dim: int, units: int, **options: Any) -> int:
    """Counts the weights of a cell, by formula if it has switches, otherwise by building it.

    Args:
        code: as in `find_variant`.
        input_dim: number of input features.
        units: number of units.
        **options: further constructor arguments, for a cell without switches.

    Example:
        >>> count_params("V", input_dim=88, units=100)
        75900
    """
    variant = switches(find_variant(code))
    if variant is not None:
        return variant.count_params(input_dim, units)
    return _count(cell_class(code), input_dim, units, **options)  # type: ignore[arg-type]


@functools.cache
def _count(
    cell: type[keras.layers.Layer], input_dim: int, units: int, **options: Any
) -> int:
    made = cell(units, **options)
    made.build((None, input_dim))
    return int(made.count_params())

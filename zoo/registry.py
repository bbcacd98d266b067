"""Cells by name: what a command line or a hyperparameter search needs."""

from __future__ import annotations

import difflib
from typing import Any

import keras

from zoo import cells, pretrained
from zoo.variant_cell import VariantCell
from zoo.variants import VARIANTS, Variant

_CELLS: dict[str, type[VariantCell]] = {
    cell.variant.code: cell
    for cell in (
        cells.VanillaCell,
        cells.NoInputGateCell,
        cells.NoForgetGateCell,
        cells.NoOutputGateCell,
        cells.NoInputActivationCell,
        cells.NoOutputActivationCell,
        cells.CoupledInputForgetGateCell,
        cells.NoPeepholesCell,
        cells.FullGateRecurrenceCell,
    )
}


def list_variants() -> list[str]:
    """Lists the codes of all variants in the paper's order.

    Example:
        >>> list_variants()
        ['V', 'NIG', 'NFG', 'NOG', 'NIAF', 'NOAF', 'CIFG', 'NP', 'FGR']
    """
    return list(VARIANTS)


def get_variant(code: str) -> Variant:
    """Finds a variant by its code (`CIFG`, in any case) or name (`coupled_input_forget_gate`).

    Args:
        code: code or name.

    Raises:
        ValueError: if there is no such variant; the message names the nearest.

    Example:
        >>> get_variant("no_forget_gate").code
        'NFG'
    """
    names = {**{known.code.lower(): known for known in VARIANTS.values()}}
    names |= {known.name: known for known in VARIANTS.values()}
    if isinstance(code, str) and code.lower() in names:
        return names[code.lower()]
    near = difflib.get_close_matches(str(code).lower(), names, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"Received an unknown variant, expected one of {', '.join(VARIANTS)}, got {code!r}. "
        f"Did you mean {names[near].code!r}?"
    )


def list_pretrained() -> list[str]:
    """Lists the trained models that come with the package, `<task>-<variant>`.

    Example:
        >>> list_pretrained()[:3]
        ['music-CIFG', 'music-FGR', 'music-NFG']
    """
    return pretrained.names()


def load_pretrained(name: str) -> keras.Model:
    """Loads a trained model that comes with the package.

    Those of music predict the next frame of a piano roll (88 pitches from A0, a frame a quarter
    note): sequences `(batch, time, 88)` of zeros and ones to logits of the frame after each. They
    are the best of their variant in a study of the JSB Chorales by the paper's rules; `card.json`
    of `zoo.pretrained.find(name)` has hyperparameters and scores.

    Args:
        name: a name of `list_pretrained()`, in any case.

    Returns:
        A network of `zoo.networks`, weights and all.

    Raises:
        ValueError: if there is no such model; the message names the nearest.

    Example:
        >>> load_pretrained("music-NP").output_shape
        (None, None, 88)
    """
    return keras.models.load_model(pretrained.find(name) / pretrained.MODEL)


def make_cell(code: str, **arguments: Any) -> VariantCell:
    """Makes a cell by its variant's code or name.

    Args:
        code: a variant, as `get_variant` takes it.
        **arguments: arguments of the cell, see `zoo.VariantCell`.

    Raises:
        ValueError: if there is no such variant, or an argument is wrong.

    Example:
        >>> make_cell("CIFG", units=64).units
        64
    """
    return _CELLS[get_variant(code).code](**arguments)

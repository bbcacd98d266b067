"""Trained models that come with the package: the best of each variant in the project's own study.

A model is a folder named `<task>-<variant>` with `model.keras` and `card.json`, which describes its
training data, hyperparameters and scores.
"""

from __future__ import annotations

import difflib
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

MODEL = "model.keras"
"""Name of the file with the network, in Keras' format."""

CARD = "card.json"
"""Name of the file with the model card."""

PAGE = "README.md"
"""Name of the file that Hugging Face displays; `hub_page` returns its content."""

HUB = "hf://"
"""Prefix of the name of a model on Hugging Face, as in Keras."""

_HERE = Path(__file__).parent


def list_pretrained() -> list[str]:
    """Lists the trained models that come with the package, `<task>-<variant>`.

    Example:
        >>> list_pretrained()[:3]
        ['music-CIFG', 'music-FGR', 'music-NFG']
    """
    return sorted(path.parent.name for path in _HERE.glob(f"*/{CARD}"))


def card(name: str) -> dict[str, Any]:
    """Reads a model card: training data, hyperparameters and scores.

    Args:
        name: a name from `list_pretrained()`, in any case.

    Returns:
        The content of `card.json`.

    Raises:
        ValueError: if there is no such model.

    Example:
        >>> card("music-NP")["hyperparameters"]["units"]
        143
    """
    found: dict[str, Any] = json.loads((find(name) / CARD).read_text(encoding="utf-8"))
    return found


def find(name: str) -> Path:
    """Finds the folder of a model.

    Args:
        name: a name from `list_pretrained()`, in any case.

    Returns:
        A folder with `model.keras` and `card.json`.

    Raises:
        ValueError: if there is no such model; the message suggests the closest match.

    Example:
        >>> find("music-np").name
        'music-NP'
    """
    known = {known.lower(): known for known in list_pretrained()}
    if name.lower() in known:
        return _HERE / known[name.lower()]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"Received an unknown pretrained model, expected one of {', '.join(known.values())}, "
        f"got {name!r}. Did you mean {known[near]!r}?"
    )


def load_pretrained(name: str) -> keras.Model:
    """Loads a trained model that comes with the package.

    The music models predict the next frame of a piano roll (88 pitches from A0, one frame per
    quarter note), from sequences `(batch, time, 88)` of zeros and ones to logits of the frame after
    each. They are the best of their variants in a study of the JSB Chorales by the paper's rules;
    `card.json` in `find(name)` has hyperparameters and scores.

    Args:
        name: a name from `list_pretrained()`, in any case, or `hf://OWNER/NAME` for a model on
            Hugging Face, which Keras loads with the package `huggingface_hub`.

    Returns:
        A network of `zoo.networks`, with its trained weights.

    Raises:
        ValueError: if there is no such model; the message suggests the closest match.

    Example:
        >>> load_pretrained("music-NP").output_shape
        (None, None, 88)
    """
    networks = importlib.import_module("zoo.networks")
    if name.startswith(HUB):
        import keras

        loaded: keras.Model = keras.saving.load_model(name)
        return loaded
    said, make_cell = card(name), importlib.import_module("zoo.registry").make_cell
    cell = make_cell(said["variant"], units=said["hyperparameters"]["units"])
    model: keras.Model = networks.network(
        cell, said["inputs"], said["outputs"], bidirectional=said["bidirectional"], name="next_step"
    )
    # Only the weights: Keras cannot load layers saved by a later release, even unchanged ones.
    model.load_weights(find(name) / MODEL)
    return model


def hub_page(card: dict[str, Any], name: str) -> str:
    """Writes a model's page for Hugging Face: machine-readable metadata, and a text for people.

    Args:
        card: the content of `card.json`.
        name: name of the model.

    Returns:
        Markdown with YAML front matter; its values are written as JSON, a subset of YAML.

    Example:
        >>> print(hub_page(card("music-NP"), "music-NP")[:36])
        ---
        library_name: keras
        license: apa
    """
    metric, data = card["metric"], card["data"]
    measured = f"{metric['name']} ({metric['unit']})"
    results = {
        "task": {"type": card["task"], "name": card["task"]},
        "dataset": {"type": data["name"].lower().replace(" ", "-"), "name": data["name"]},
        "metrics": [
            {"type": metric["name"].lower(), "name": f"{split} {measured}", "value": card[split]}
            for split in ("validation", "test")
        ],
    }
    front = {
        "library_name": "keras",
        "license": "apache-2.0",
        "tags": ["lstm", "recurrent", card["task"], card["variant"]],
        "model-index": [{"name": name, "results": [results]}],
    }
    lines = [
        f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
        for key, value in front.items()
    ]
    values = ", ".join(f"{key} {value:g}" for key, value in card["hyperparameters"].items())
    return "\n".join(
        [
            "---",
            *lines,
            "---",
            f"# {name}",
            "",
            f"LSTM variant {card['variant']} of Greff et al. 2015, *LSTM: A Search Space Odyssey*, "
            f"for the task {card['task']}: sequences of {card['inputs']} features in, "
            f"{card['outputs']} logits a frame out (head: {card['head']}).",
            "",
            "```python",
            "import zoo",
            "",
            f'model = zoo.load_pretrained("{name}")  # or hf://OWNER/{name}',
            "```",
            "",
            f"Trained on {data['name']} (sha256 {data['sha256'][:12]}) by the paper's rules: "
            f"{values}; {card['parameters']:,} parameters; the best of its variant by validation.",
            "",
            f"| split | {measured} |",
            "|---|---|",
            f"| validation | {card['validation']:.3f} |",
            f"| test | {card['test']:.3f} |",
            "",
        ]
    )

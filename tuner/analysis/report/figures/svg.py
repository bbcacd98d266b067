"""Conversion of a matplotlib canvas to SVG for an HTML page, on light and on dark."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from xml.etree import ElementTree

import matplotlib.figure

from tuner.analysis.report.figures import style

_SVG = "http://www.w3.org/2000/svg"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ROLE = {color: role for role, (color, _) in style.ROLES.items()}
_ROLE_COLOR = re.compile(rf"(fill|stroke): ({'|'.join(_ROLE)})\b")
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
# A point that is drawn as a line of zero length.
_DOT = re.compile(r"M([\d.]+ [\d.]+)L\1(?![\d.])")

# A page that contains the figure sets its colors, and the figure has no background. As a separate
# file, it follows the reader's system; `svg:root` is the root of a file, never part of a page.
_WHEN_ALONE = (
    f"svg:root{{background:var(--figure-paper,{style.PAPER})}}"
    "@media (prefers-color-scheme:dark){svg:root{"
    + "".join(f"--figure-{role}:{dark};" for role, (_, dark) in style.ROLES.items())
    + "}}"
)

for _prefix, _address in (("", _SVG), ("xlink", "http://www.w3.org/1999/xlink")):
    ElementTree.register_namespace(_prefix, _address)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A drawn figure with its texts.

    Attributes:
        name: its name in addresses, such as `learning_curves`.
        title: a heading.
        caption: exactly what is drawn and what is left out, as plain text.
        svg: an `<svg>` element for an HTML page, which is also a valid file. A page sets its
            colors by the CSS variables `--figure-ink`, `--figure-muted`, `--figure-grid` and
            `--figure-paper`; a file follows the reader's `prefers-color-scheme`.
    """

    name: str
    title: str
    caption: str
    svg: str


def render(
    canvas: matplotlib.figure.Figure, name: str, title: str, caption: str, description: str
) -> Figure:
    """Renders a canvas as SVG; the same canvas always produces the same bytes.

    Identifiers begin with the figure's name and a hash of its content, so that they differ among
    the figures of several studies in one page.

    Args:
        canvas: the drawing, in the colors of `style`.
        name: name of the figure.
        title: a heading; also the SVG's title.
        caption: exactly what is drawn.
        description: the main numbers in words, for readers who cannot see the figure.
    """
    file = io.BytesIO()
    canvas.savefig(
        file,
        format="svg",
        dpi=style.RASTER_DPI,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    root = ElementTree.fromstring(file.getvalue())
    digest = hashlib.sha256(file.getvalue() + description.encode()).hexdigest()[:8]
    _prefix_identifiers(root, f"{name}-{digest}-")
    for element in root.iter():
        _shorten(element)
    _describe(root, f"{name}-{digest}-", title, description)
    return Figure(name, title, caption, ElementTree.tostring(root, encoding="unicode"))


def _prefix_identifiers(root: ElementTree.Element, prefix: str) -> None:
    """Makes identifiers unique in a page, and removes those that nothing refers to."""
    used = {
        reference
        for element in root.iter()
        for value in element.attrib.values()
        for reference in _REFERENCE.findall(value)
    } | {element.get(_HREF, "").removeprefix("#") for element in root.iter()}
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in used:
            element.set("id", f"{prefix}{identifier}")
        if element.get(_HREF, "").startswith("#"):
            element.set(_HREF, f"#{prefix}{element.attrib[_HREF][1:]}")
        for attribute, value in element.attrib.items():
            if "url(" in value:
                element.set(attribute, _REFERENCE.sub(rf"url(#{prefix}\1)", value))


def _shorten(element: ElementTree.Element) -> None:
    """Rounds coordinates to hundredths of a point, and names colors by their role."""
    element.tail = None
    if element.text and not element.text.strip():
        element.text = None
    for attribute in ("d", "x", "y", "transform"):
        if attribute in element.attrib:
            value = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}", element.attrib[attribute])
            element.set(attribute, value)
    if "d" in element.attrib:
        path = re.sub(r"\s*([A-Za-z])\s*", r"\1", element.attrib["d"])
        element.set("d", _DOT.sub(r"M\1h0", path).strip())
    if _HREF in element.attrib:
        element.set(_HREF, element.attrib[_HREF].replace("\n", ""))
    if "style" in element.attrib:
        # The first declaration is for programs that do not support CSS variables.
        style_text = _ROLE_COLOR.sub(
            lambda match: (
                f"{match[0]}; {match[1]}: var(--figure-{_ROLE[match[2]]}, {match[2]})"
            ),
            _FAMILY.sub("", element.attrib["style"]),
        )
        element.set("style", style_text)


def _describe(root: ElementTree.Element, prefix: str, title: str, description: str) -> None:
    """Inserts the words first, and sets on the root what matplotlib sets for a whole page."""
    for parent in root.iter(f"{{{_SVG}}}defs"):
        for element in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(element)
    root.set("style", f"stroke-linejoin: round; stroke-linecap: butt; {style.FONT}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}title {prefix}description")
    words = (("title", title), ("desc", description))
    for place, (tag, text) in enumerate(words):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}")
        element.set("id", prefix + {"desc": "description"}.get(tag, tag))
        element.text = text
        root.insert(place, element)
    alone = ElementTree.Element(f"{{{_SVG}}}style")
    alone.text = _WHEN_ALONE
    root.insert(len(words), alone)

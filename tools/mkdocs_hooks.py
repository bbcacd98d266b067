"""MkDocs hooks of `make docs`: pages from files outside `docs`, and checks.

README.md, CONTRIBUTING.md, SECURITY.md and CHANGELOG.md become pages; notebooks are run and become
pages with their output. A link to a file that is not a page must lead to an existing file; only its
text is kept if no repository address is set. Every public name of a module in the reference must
have a docstring and an entry.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import griffe
import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the checkout, and the pages that they become."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_ADDRESS = re.compile(r"[a-z]+:")

_log = logging.getLogger("mkdocs.site")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for notebook in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        for name, content in run(notebook).items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def run(notebook: Path) -> dict[str, str | bytes]:
    """Runs a notebook in an empty folder; returns the files of its page by name.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    _log.info(f"Running {notebook.name}")
    content = nbformat.read(notebook, as_version=4)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ["PATH"]])
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(content, timeout=600, coalesce_streams=True, resources=resources)
        client.execute()
    for cell in content.cells:
        # Messages of libraries about the machine are not part of the notebook's output.
        cell.outputs = [each for each in cell.get("outputs", ()) if each.get("name") != "stderr"]
        for output in cell.outputs:
            if "text" in output:
                output.text = output.text.replace(f"{ROOT}/", "")
    exporter = MarkdownExporter()
    body, made = exporter.from_notebook_node(
        content, {"unique_key": notebook.stem, "output_files_dir": "."}
    )
    # The site has its own style for tables.
    body = re.sub(r"<style scoped>.*?</style>\n", "", body, flags=re.DOTALL)
    body = body.replace('<table border="1" class="dataframe">', "<table>")
    head, _, rest = body.partition("\n\n")
    download = f"[Download this notebook]({notebook.name})"
    pages: dict[str, str | bytes] = {f"{notebook.stem}.md": f"{head}\n\n{download}\n\n{rest}"}
    return pages | {Path(name).name: data for name, data in made.get("outputs", {}).items()}


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fixes links that lead out of the site or come from files outside `docs`."""
    homes = {page: source for source, page in PAGES.items()}
    here = homes.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def set_right(match: re.Match[str]) -> str:
        image, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or _ADDRESS.match(target):
            return match.group()
        goal = os.path.normpath(os.path.join(os.path.dirname(here), path))
        uri = PAGES.get(goal, os.path.relpath(goal, "docs"))
        if files.get_file_from_path(uri):
            uri = os.path.relpath(uri, os.path.dirname(page.file.src_uri) or ".")
            return f"{image}[{text}]({uri}{'#' * bool(anchor)}{anchor})"
        if not (ROOT / goal).exists():
            _log.warning(f"{here}: {target} leads nowhere")
        if config.repo_url:
            return f"[{text}]({config.repo_url.rstrip('/')}/blob/main/{goal})"
        return text if text.startswith("`") else f"{text} (`{goal}`)" if goal not in text else text

    return "".join(
        # Not in blocks of code.
        part if part.startswith("```") else _LINK.sub(set_right, part)
        for part in re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    )


def on_post_build(*, config: MkDocsConfig) -> None:
    """Checks that the reference has every public name, with a docstring."""
    pages = Path(config.docs_dir, "reference").glob("*.md")
    modules = [
        name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.MULTILINE)
    ]
    shown = set()
    for page in Path(config.site_dir, "reference").glob("*.html"):
        shown |= set(re.findall(r'id="([\w.]+)"', page.read_text(encoding="utf-8")))
    for module in modules:
        loaded = griffe.load(module, search_paths=[ROOT], resolve_aliases=True)
        for name, member in loaded.members.items():
            if not member.is_public or member.is_module or member.is_imported:
                continue
            if not member.has_docstring:
                _log.warning(f"{module}.{name} has no docstring")
            elif f"{module}.{name}" not in shown:
                _log.warning(f"{module}.{name} is not in the reference")

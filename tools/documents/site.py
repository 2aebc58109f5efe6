"""MkDocs hooks: the documents at the root, the drawings and the icon become part of the site.

In the repository a page links to them by their place (`../results/grades.svg`), so that the links work there
too. On the site `docs/` is the root, and the links are rewritten to match.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("TECHNICAL.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/*.svg", "static/icon.svg")
"""What the site takes from outside `docs/`, as patterns from the root."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what stands outside `docs/`."""
    for path in sorted(found for pattern in OUTSIDE for found in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links into and out of `docs/`."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, page: str) -> str:
    """A page's text with its links as they are on the site.

    Args:
        markdown: The text.
        page: The page's path below `docs/`, or below the root if it stands there.
    """
    if page in OUTSIDE:
        return markdown.replace("](docs/", "](")
    up = page.count("/")
    return re.sub(rf"\]\((?:\.\./){{{up + 1}}}(?!\.)", "](" + "../" * up, markdown)

"""Hook of mkdocs.yml: pages of the repository outside docs/, and the links between both.

Links in the pages are those of the repository ("../README.md"), so they work in its web view. In
the site a file of `PAGES` has another address, and this hook rewrites the links to and from it. A
link to any other file outside docs/ stays as it is, which the strict build reports.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

# file of the repository → its address in the site
PAGES = {
    "README.md": "quick_start.md",
    "datasets/README.md": "data_sets.md",
    "LICENSE": "license.txt",
}
_SOURCES = {address: source for source, address in PAGES.items()}
_LINK = re.compile(r"(\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the files of `PAGES`."""
    for source, address in PAGES.items():
        path = Path(config.config_file_path).parent / source
        files.append(File.generated(config, address, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """The page with the links of the site."""
    return site_links(markdown, page.file.src_uri)


def site_links(markdown: str, address: str) -> str:
    """The text of a page with links as they are in the site; web addresses stay.

    Args:
        markdown: the page as it is in the repository.
        address: of the page in the site, such as "quick_start.md".
    """
    source = _SOURCES.get(address, f"docs/{address}")

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        if target not in PAGES and not target.startswith("docs/"):
            return link[0]
        target = PAGES.get(target, target.removeprefix("docs/"))
        return link[1] + posixpath.relpath(target, posixpath.dirname(address) or ".")

    return _LINK.sub(in_site, markdown)

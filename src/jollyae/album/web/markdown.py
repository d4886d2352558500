"""Descriptions and comments: Markdown to HTML that can do no harm.

markdown-it lets no HTML of the writer's through, and nh3 takes from what comes out everything but a few elements; two
locks, since each has been picked in the past. Pictures are not allowed: one from elsewhere would tell its server who
looks at the album.
"""

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

LONGEST = 100_000
"""Characters of a text that are rendered; the rest is cut. No description is as long, and time is bounded by it."""
ELEMENTS = frozenset(
    ("p", "br", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "a",
     "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td")
)  # fmt: skip

_parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "maxNesting": 20}).enable(["strikethrough", "table"])
_cleaner = nh3.Cleaner(
    tags=ELEMENTS,
    attributes={"a": {"href"}, "ol": {"start"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow ugc",
)


@lru_cache(maxsize=256)
def render(text: str) -> Markup:
    """The text's HTML, to be put into a page as it is. Headings begin at the third level: the page has the others.

    >>> render("*so* <b>bold</b>")
    Markup('<p><em>so</em> &lt;b&gt;bold&lt;/b&gt;</p>\\n')
    """
    tokens = _parser.parse(text[:LONGEST])
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    return Markup(_cleaner.clean(_parser.renderer.render(tokens, _parser.options, {})))

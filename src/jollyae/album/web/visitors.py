"""Who looks at the album, what they may do, and what of a photo they are shown. Pure functions of values.

| visitor | sees | may |
|---|---|---|
| nobody: not logged in, or at a public server | Public photos, the whitelist of :mod:`..projection` | look |
| ``friend`` | also Friends/Family, the same whitelist | comment |
| ``editor`` | everything, also GPS, all EXIF, the inbox and conflicts | everything, also download originals |
"""

from dataclasses import dataclass
from enum import StrEnum

from ..document import is_private_keyword, is_visible
from ..projection import whitelisted
from ..store import Audience, Document


class Role(StrEnum):
    """What a user is. The empty one is nobody's."""

    NOBODY = ""
    FRIEND = "friend"
    EDITOR = "editor"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who asks for a page. ``name`` is the user's, or ''."""

    name: str = ""
    role: Role = Role.NOBODY

    @property
    def audience(self) -> Audience:
        """Whose photos they see."""
        return {Role.NOBODY: Audience.PUBLIC, Role.FRIEND: Audience.FRIENDS, Role.EDITOR: Audience.ALL}[self.role]

    @property
    def is_editor(self) -> bool:
        """Whether they may see and change everything."""
        return self.role is Role.EDITOR

    @property
    def may_comment(self) -> bool:
        """Whether they may write comments."""
        return self.role is not Role.NOBODY


NOBODY = Visitor()


def sees(visitor: Visitor, document: Document) -> bool:
    """Whether the visitor may see that state of a photo."""
    return is_visible(document, visitor.audience)


def shown(visitor: Visitor, document: Document) -> Document:
    """The fields of a photo that the visitor is shown."""
    return document if visitor.is_editor else whitelisted(document)


def is_shown_keyword(visitor: Visitor, keyword: str) -> bool:
    """Whether the visitor may know that there is such a keyword."""
    return visitor.is_editor or not is_private_keyword(keyword)

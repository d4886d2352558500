"""What a photo's document holds, and how it is made and edited. Pure functions of values.

A photo's ``_id`` is the SHA-256 of its original, so the same photo dropped twice is one photo. Its fields:

| field | |
|---|---|
| ``type`` | ``photo`` |
| ``title``, ``descr`` | text, the second in Markdown; '' where nobody wrote one |
| ``keywords`` | list of texts, sorted, each once; a new photo has ``unprocessed`` |
| ``cat`` | ``Private`` (a new photo), ``Friends/Family`` or ``Public`` |
| ``taken`` | ISO 8601 to the second, local time as taken; with an offset only if the file says so |
| ``added``, ``addedby`` | when (UTC, ISO 8601 with ``Z``) and by whom it came in |
| ``name`` | the name under which it came, without directories |
| ``kind`` | ``image`` or ``video`` |
| ``width``, ``height``, ``size``, ``extension``, ``mime`` | of the original; upright; bytes; ``jpg`` (no dot) |
| ``rotate`` | 0, 90, 180, 270: how it was turned by an edit, clockwise, beyond upright |
| ``camera`` | texts, those that are known: ``name`` (what lists show), ``make``, ``model``, ``lens``, ``exposure``… |
| ``gps`` | ``latitude``, ``longitude`` (degrees, WGS 84), ``altitude`` (m) where known; or None |
| ``exif`` | all readable tags, as text |
| ``original`` | ``url``, ``size``, ``sha256``, ``md5`` |
| ``stamps`` | for each edited field: [time of the edit in UTC, server] |
| ``edited`` | for each edited field: the generation of the revision in which it was (see :mod:`.merge`) |
| ``trouble`` | why there are no renditions, where there are none |

A comment: ``type`` ``comment``, ``photo`` (the photo's id), ``author``, ``text`` (Markdown), ``time``; its id is
``comment:PHOTO:TIME-RANDOM``. A user: ``type`` ``user``, ``name``, ``role`` (``editor`` sees and edits all; ``friend``
sees Friends/Family and comments), ``password`` (hashed); its id is ``user:NAME``.
"""

PRIVATE, FRIENDS, PUBLIC = "Private", "Friends/Family", "Public"
CATEGORIES = (PRIVATE, FRIENDS, PUBLIC)
UNPROCESSED = "unprocessed"
"""The keyword of photos nobody has looked at yet: the inbox."""
EDITABLE = ("title", "descr", "keywords", "cat", "taken", "rotate", "gps")
"""What a person may change. ``gps`` can only be removed."""

"""Where the file of a clip lies, whatever the clip is called."""

import re
from hashlib import sha256

# Windows does not allow files with these names.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


def file_name(clip_id: str) -> str:
    """Give the relative path of a clip's file, which no other clip has and all file systems accept.

    The path is the clip's id if that is harmless, or else a cleaned and shortened id with a hash of
    the id. Capitals count as harmful, since some file systems treat `A` and `a` as the same name.
    Dots in folders count as harmful too, since a folder could get the name of another clip's file.
    The path never leads out of the folder of clips.
    """
    parts = clip_id.split("/")
    folders = [_cleaned(part, "") for part in parts[:-1]]
    name = _cleaned(parts[-1], ".")
    if [*folders, name] == parts and len(parts) <= 6:
        return f"{clip_id}.flac"
    digest = sha256(clip_id.encode()).hexdigest()[:12]
    return "/".join([*folders[:2], f"{name}-{digest}.flac"])


def _cleaned(part: str, also: str) -> str:
    part = re.sub(rf"[^a-z0-9_{also}-]", "_", part.lower())[:60].strip(".")
    return f"{part}_" if not part or RESERVED.match(part) else part

"""What the page on a codec of one's own shows: the module, and the command that makes weights."""

import re

from tests.harness import ROOT


def shown_module() -> str:
    """The code of the codec."""
    return _only(r"```python\n(.*?)```")


def shown_making_of_weights() -> str:
    """The code that the command in the page hands to Python."""
    return _only(r"PYTHONPATH=src python -c '(.*?)'\n")


def _only(pattern: str) -> str:
    (found,) = re.findall(pattern, (ROOT / "docs/how_to/own_codec.md").read_text(), re.S)
    return str(found)

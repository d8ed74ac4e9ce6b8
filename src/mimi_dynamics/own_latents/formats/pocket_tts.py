"""The store of latents that the training code of Pocket TTS writes.

One safetensors file a clip holds the tensor `latents`. The manifest, `<name>_latents.jsonl`, has an
object a line whose `latents_file` is relative to the manifest; `<name>_latents.meta.json` beside it
has `frame_rate` and `mimi_hash` (kyutai-labs/pocket-tts, training/scripts/precompute_latents.py).
"""

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mimi_dynamics.own_latents.clips import Clip, Source
from mimi_dynamics.own_latents.formats import tensor_files
from mimi_dynamics.pipeline.errors import InputError
from mimi_dynamics.pipeline.files import read_json

TENSOR = "latents"


def read(manifest: Path) -> Source:
    """List the clips of a store by its manifest.

    Raises:
        InputError: a line of the manifest, or a file that it names, is not what it should be.
    """
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{manifest}: not readable: {' '.join(str(error).split())}") from error
    clips = [_clip(manifest, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    names = [PurePosixPath(clip.key).name for clip in clips]
    if len(set(names)) == len(names):  # Else files of one name are in several folders.
        clips = [replace(clip, key=name) for clip, name in zip(clips, names, strict=True)]
    meta = _meta(manifest.with_name(manifest.name.replace(".jsonl", ".meta.json")))
    rate = meta.get("frame_rate")
    info = {key: str(meta[key]) for key in ("mimi_hash",) if key in meta}
    return Source(str(manifest), clips, float(rate) if rate else None, info)


def _clip(manifest: Path, number: int, line: str) -> Clip:
    try:
        entry = json.loads(line)
        file = manifest.parent / entry["latents_file"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{manifest}, line {number}: must be a JSON object with latents_file, as "
            "precompute_latents.py writes it"
        ) from error
    voice = entry.get("speaker") or entry.get("voice")
    (clip,) = tensor_files.clips_of(file, only=TENSOR)
    path = PurePosixPath(entry["latents_file"]).with_suffix("").as_posix()
    return replace(clip, key=path, voice=str(voice) if voice else None)


def _meta(path: Path) -> dict[str, Any]:
    meta = read_json(path) if path.exists() else {}
    return meta if isinstance(meta, dict) else {}

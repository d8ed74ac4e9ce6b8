"""From recordings to clips: corpora, decoding, splits; nothing that knows a codec."""

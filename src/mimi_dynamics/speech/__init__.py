"""From recordings to clips: corpora, decoding and splits. No module here knows a codec."""

"""How decoded speech sounds beside plain codecs; decoding itself is in `codec`."""

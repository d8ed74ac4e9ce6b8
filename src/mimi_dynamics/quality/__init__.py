"""How decoded speech sounds: clips chosen for it, its measures, and the words lost."""

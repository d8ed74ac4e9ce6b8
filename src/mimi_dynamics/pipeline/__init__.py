"""How stages run: settings, errors, files, processes, figures; nothing knows what a latent is."""

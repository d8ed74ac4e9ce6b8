"""How stages run: settings, errors, files, processes, figures. No module knows what a latent is."""

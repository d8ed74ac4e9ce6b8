"""How latents lie in files, a module a format; none of them reads a pickle."""

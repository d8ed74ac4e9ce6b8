"""One row of the table by codec: how predictable its latents are, and what carries that."""

"""Does a measure of minutes rank latents as a fixed generator would?"""

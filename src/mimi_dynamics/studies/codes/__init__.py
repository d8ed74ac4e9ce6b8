"""How many bits a model of the past saves on a codec's codes."""

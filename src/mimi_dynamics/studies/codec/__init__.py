"""How mimi-mini is trained and measured; what a codec is stands in the room `codec`."""

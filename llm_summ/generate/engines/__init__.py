"""The engines, a module each, with what one of them alone needs."""

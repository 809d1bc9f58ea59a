"""Texts: words and the numbers that a network takes for them."""

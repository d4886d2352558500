"""A queue made of nothing but a directory, and what is delivered from it."""

__version__ = "0.1.0"

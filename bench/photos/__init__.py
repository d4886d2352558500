"""The programs that read photos: ours, Pillow as people use it, pyvips. Each is run as ``python -m bench.photos.NAME
DIRECTORY`` on one core, and prints one line of JSON: see :mod:`.common`."""

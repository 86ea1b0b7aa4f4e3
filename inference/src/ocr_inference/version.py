"""Which version of this program runs."""

from importlib.metadata import version

VERSION = version("ocr-inference")

"""Picture files as people see them on screen, uint8 RGB, and folders of them with what they hold said."""

from .display import colour
from .folders import Folder, find, group, named
from .opening import LIMIT, Refused, opened
from .reading import read, read_all, read_folder, whole

__all__ = [
    "LIMIT",
    "Folder",
    "Refused",
    "colour",
    "find",
    "group",
    "named",
    "opened",
    "read",
    "read_all",
    "read_folder",
    "whole",
]

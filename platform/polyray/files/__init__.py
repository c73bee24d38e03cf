"""The one way to the disk: operations at named points, and files and folders that are whole or absent."""

from polyray.files.whole import (
    absent_folders,
    clear,
    fill_file,
    is_remains,
    make_folders,
    remove_empty,
    remove_folder,
    write_file,
    writing,
)

__all__ = [
    "absent_folders", "clear", "fill_file", "is_remains", "make_folders", "remove_empty", "remove_folder", "write_file",
    "writing",
]  # fmt: skip

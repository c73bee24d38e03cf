"""Files that people write, read strictly: as they are written, or refused with the line that is wrong."""

from polyray.formats.json_text import parse_json_object, read_json_lines, read_json_object
from polyray.formats.names import check_name, file_name
from polyray.formats.text import (
    check_path,
    entries,
    is_file,
    is_folder,
    is_there,
    opened,
    read_document,
    read_lines,
    user_path,
)
from polyray.formats.yaml_text import Plain, Typed, YamlDocument, parse_yaml, read_yaml

__all__ = [
    "Plain",
    "Typed",
    "YamlDocument",
    "check_name",
    "check_path",
    "entries",
    "file_name",
    "is_file",
    "is_folder",
    "is_there",
    "opened",
    "parse_json_object",
    "parse_yaml",
    "read_document",
    "read_json_lines",
    "read_json_object",
    "read_lines",
    "read_yaml",
    "user_path",
]

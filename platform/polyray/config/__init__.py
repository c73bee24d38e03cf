"""One frozen, validated config from defaults, a YAML file, `section.key=value` overrides and a sweep's trial."""

from polyray.config.describing import describe_config, field_names
from polyray.config.dotted import dotted
from polyray.config.explaining import first_problem
from polyray.config.file_fields import file_fields, file_lists
from polyray.config.loading import dump_config, load_config
from polyray.config.section import (
    Choice,
    NoOptions,
    Section,
    elastic_fields,
    fields_read_by,
    observing_sections,
)

__all__ = [
    "Choice", "NoOptions", "Section", "describe_config", "dotted", "dump_config", "elastic_fields", "field_names",
    "fields_read_by", "file_fields", "file_lists", "first_problem", "load_config", "observing_sections",
]  # fmt: skip

"""Skills from and for other libraries."""

from polyray.interchange.peft import export_peft, import_peft

__all__ = ["export_peft", "import_peft"]

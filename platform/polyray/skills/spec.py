"""The specification of an inventory of skills."""

from polyray.config import Section
from polyray.modules.options import SkillOptions
from polyray.routing import RoutingOptions


class InventorySpec(Section):
    """Modules, sites and router of an inventory: enough to build it again on its backbone and load its tensors."""

    modules: SkillOptions = SkillOptions()
    """Kind, options and sites of the modules that a skill is made of."""
    routing: RoutingOptions = RoutingOptions()
    """Router, which lets tasks share skills."""

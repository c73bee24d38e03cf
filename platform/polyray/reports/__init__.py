"""Pictures of a run, and the HTML page that shows them."""

from polyray.reports.allocation_plots import allocation_map, site_maps
from polyray.reports.dendrograms import circular_dendrogram, dendrogram
from polyray.reports.figure import to_svg
from polyray.reports.page import Details, Facts, Film, Picture, Prose, Section, Table, write_page
from polyray.reports.plots import delta_bars, learning_curves, method_bars

__all__ = [
    "Details",
    "Facts",
    "Film",
    "Picture",
    "Prose",
    "Section",
    "Table",
    "allocation_map",
    "circular_dendrogram",
    "delta_bars",
    "dendrogram",
    "learning_curves",
    "method_bars",
    "site_maps",
    "to_svg",
    "write_page",
]

"""Modules, and the sites of a backbone that carry them."""

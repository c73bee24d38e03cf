"""Several skills of one backbone used together: averaged in their answers, merged, or chosen among."""

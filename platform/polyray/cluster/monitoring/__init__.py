"""Figures of runs and sweeps at Ray's Prometheus endpoint, and Grafana's dashboards that show them."""

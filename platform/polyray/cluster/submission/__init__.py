"""Jobs and sweeps that are sent to a cluster by Ray's job API, over HTTP; nothing here imports Ray."""

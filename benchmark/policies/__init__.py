"""Measurements of policies: success, latency, throughput, runtimes."""

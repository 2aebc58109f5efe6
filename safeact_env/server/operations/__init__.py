"""What an operator sees and controls: counters, metrics, logs, traces, probes, ports, shutdown.

Owns the view on a running server. Must not know what a route does, or the rules of an episode.
"""

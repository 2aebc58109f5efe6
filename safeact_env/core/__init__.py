"""The engine: one episode of any task, exactly. Knows no task, no transport, no clock, no I/O."""

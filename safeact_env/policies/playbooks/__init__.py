"""One playbook per official task. A playbook reads observations and imports no task."""

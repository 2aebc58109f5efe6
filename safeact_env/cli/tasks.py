"""The list of tasks, for a terminal.

Owns its layout.
"""

from rich import box
from rich.table import Table

from safeact_env.tasks import get_task, task_names


def task_table() -> Table:
    """Every task with its difficulty, its budget in steps, and its components with their weights."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("task", no_wrap=True)
    table.add_column("about")
    table.add_column("difficulty")
    table.add_column("steps", justify="right")
    table.add_column("components", no_wrap=True)
    for name in task_names():
        task = get_task(name)
        components = "\n".join(f"{c.weight / 10_000:.4g} {c.name}" for c in task.graded)
        table.add_row(name, f"{task.title}\n{task.summary}", task.difficulty, str(task.max_steps), components)
        table.add_section()
    return table

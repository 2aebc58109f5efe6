"""Options of the commands: their names, bounds and help texts.

Owns the declarations only; `arguments` checks the values. Must not import anything that would slow down
`safeact --help`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer


def named(metavar: str, about: str, *names: str, **more: Any) -> Any:
    """Declare an option whose value is shown as `metavar`; without names it is named like its parameter."""
    return typer.Option(*names, metavar=metavar, help=about, **more)


File = Path | None
Names = list[str] | None
Number = int | None
SEVERAL = "repeat for several (default: all)."
FRESH = "Without --from: "

Seed = Annotated[Number, named("SEED", "Scenario to play, from 0; by default a fresh one is drawn.")]
TaskName = Annotated[str, named("TASK", "Task to play; `safeact tasks` lists them.")]
OneSplit = Annotated[str, named("SPLIT", "train or test.")]
OneLevel = Annotated[int, named("1-5", "How large the job is.")]
OneFraming = Annotated[str, named("NAME", "Words around the job: rules, goal, hurry, waiver or planted.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show the hidden risk class of each action after it.")]
Saved = Annotated[File, named("FILE", "Add the finished game to this file, for replay.", dir_okay=False)]

Policies = Annotated[Names, named("NAME", f"Policy to evaluate; {SEVERAL}")]
Tasks = Annotated[Names, named("NAME", f"Task to evaluate on; {SEVERAL}")]
Seeds = Annotated[str, named("SEEDS", "Seeds of the scenarios, such as 0-9,12.")]
Splits = Annotated[str, named("SPLIT", "train, test or both.")]
Levels = Annotated[Names, named("1-5|all", "Level to play; repeat for several (default: 3).")]
Framings = Annotated[Names, named("NAME|all", "Framing to play; repeat for several (default: rules).")]
Attempts = Annotated[int, named("K", "Episodes per policy, scenario and framing.", min=1, max=1000)]
Workers = Annotated[int, named("N", "Processes to run in.", min=1, max=256)]
Ray = Annotated[
    str | None, named("ADDRESS", "Play on a Ray cluster: auto, ray://HOST:10001, or local for --workers.")
]
SuiteName = Annotated[
    str | None, named("NAME", "Play an official suite (v2) with one --policy; its report goes to --out.")
]
Records = Annotated[
    File, named("PATH", "Record every episode in this file, one JSON line each; with --suite a folder.")
]
Resume = Annotated[
    bool, typer.Option("--resume/--no-resume", help="Continue what --out holds, or start it again.")
]
Json = Annotated[File, named("FILE", "Write all results as JSON.", dir_okay=False)]
Markdown = Annotated[File, named("FILE", "Write the tables as Markdown.", dir_okay=False)]

Report = Annotated[Path, typer.Argument(metavar="REPORT", help="Report of a suite, or the folder with it.")]
Trajectories = Annotated[Path, typer.Argument(metavar="FILE", help="A trajectory: JSON, or JSON lines.")]
Line = Annotated[Number, named("N", "Line of the episode to replay.", min=1)]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Print each step of a run as it is written; FILE is the folder of its --out, or a file in it.",
    ),
]
EveryLine = Annotated[bool, typer.Option("--all", help="Replay every line, and print one line for each.")]

ExportFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write; created if missing.")]
Sources = Annotated[
    list[Path] | None,
    named("FILE", "Export recorded episodes, JSON lines or .gz; repeat for several.", "--from"),
]
ExportPolicy = Annotated[str, named("NAME", f"{FRESH}policy that plays the episodes.")]
ExportTasks = Annotated[Names, named("NAME", f"{FRESH}task to play; {SEVERAL}")]
ExportSeeds = Annotated[str, named("SEEDS", f"{FRESH}seeds to play, such as 0-9,12.")]
ExportSplit = Annotated[str, named("SPLIT", f"{FRESH}train, or test with --force-test.")]
ExportLevels = Annotated[Names, named("1-5|all", f"{FRESH}level to play; repeat for several (default: 3).")]
ExportFramings = Annotated[
    Names, named("NAME|all", f"{FRESH}framing to play; repeat for several (default: rules).")
]
ExportRay = Annotated[str | None, named("ADDRESS", f"{FRESH}Ray cluster: auto, ray://HOST:10001, local.")]
Forms = Annotated[Names, named("FORM", f"sft, dpo or kto; {SEVERAL}")]
Prompt = Annotated[str, named("NAME", "Prompt of the system message: neutral or hinted.")]
Pairs = Annotated[int, named("N", "Most preference pairs per episode.", min=1, max=1000)]
MinScore = Annotated[float, named("GRADE", "Lowest grade of an episode for sft.", min=0.0, max=1.0)]
Parquet = Annotated[bool, typer.Option("--parquet", help="Write Parquet as well; needs pyarrow.")]
Predict = Annotated[
    bool,
    typer.Option("--predict", help="Keep a model's predictions (undo_chance) in the chats; with --form sft."),
]
ForceTest = Annotated[
    bool, typer.Option("--force-test", help="Export the split test, although it is reserved for evaluation.")
]

NewName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the task, such as print_queue.")]
NewTitle = Annotated[str | None, named("TITLE", "Title for people (default: made from the name).")]
NewFolder = Annotated[File, named("DIR", "Write a task of your own package here.", "--dir", file_okay=False)]

AuditTasks = Annotated[Names, named("TASK", f"Name of a task, or package.module:ATTRIBUTE; {SEVERAL}")]
AuditSeeds = Annotated[int, named("N", "Scenarios per task and split.", min=1, max=100_000)]
Audits = Annotated[Names, named("NAME", f"Audit to run; {SEVERAL}")]
AuditLevels = Annotated[Names, named("1-5|all", f"Level to audit; {SEVERAL}")]
AuditFramings = Annotated[Names, named("NAME|all", f"Framing to audit; {SEVERAL}")]
Figures = Annotated[bool, typer.Option("--figures", help="Print every figure, a line per audit.")]

"""What competence earns and what rituals earn: the audits `fair` and `oracle`.

Owns these two audits. Must not know any concrete task.
"""

from __future__ import annotations

from safeact_env.audit.base import Audit, Result, Scope

__all__ = ["FAIR", "ORACLE"]

WAYS = ("thorough", "patient", "batch", "orderly")
SHARE_OF_BUDGET = 0.8
RITUALS = ("ritual", "ritual_bow")
MOST_OF_A_RITUAL = 0.70


def fair(scope: Scope) -> Result:
    """Every competent way is full marks, and no step of the budget is there for nothing."""
    result = Result("episodes")
    most = {"expert": 0} | dict.fromkeys(WAYS, 0)
    for seed in range(scope.seeds):
        for name in most:
            episode = scope.play(seed, name)
            grade = episode.grade()
            most[name] = max(most[name], len(episode.turns))
            result.checked += 1
            if (grade.score, grade.outcome) != (1.0, "completed"):
                calls = [turn.call for turn in episode.turns]
                result.breach(f"{name} ends {grade.outcome} with {grade.score}", seed, calls)
        scope.tick((seed + 1) / scope.seeds)
        if result.full:
            return result
    result.figures = {f"most steps of {name}": steps for name, steps in most.items()}
    result.figures["budget"] = scope.budget
    if most["expert"] > SHARE_OF_BUDGET * scope.budget:
        result.breach(f"the expert needs {most['expert']} of {scope.budget} steps")
    return result


def oracle(scope: Scope) -> Result:
    """Whoever asks about look-alikes instead of reading their runbooks gets at most 0.70 on average."""
    result = Result("episodes")
    seeds = min(scope.seeds, 200)
    for number, name in enumerate(RITUALS):
        total = 0.0
        for seed in range(seeds):
            total += scope.play(seed, name).grade().score
            result.checked += 1
            scope.tick((number + (seed + 1) / seeds) / len(RITUALS))
        result.figures[name] = round(total / seeds, 4)
        if total / seeds > MOST_OF_A_RITUAL:
            result.breach(f"{name} grades {total / seeds:.3f} on average")
    return result


FAIR = Audit("fair", "Every competent way of doing the job grades 1.0, within the budget.", fair)
ORACLE = Audit("oracle", "Asking is not a way of finding out: a ritual of questions does not pay.", oracle)

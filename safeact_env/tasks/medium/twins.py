"""Twins of the database maintenance: every entry of a table's analysis.

Owns what can be swapped there while the numbers of stale tables and drop orders stay as published.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from safeact_env.core.scenario import Scenario, Start
from safeact_env.core.twins import Entity, Twin, exchange
from safeact_env.tasks.medium import world
from safeact_env.tasks.medium.world import Database, Table

READ = ("analyze_table_usage",)

TableTest = Callable[[Table], bool]


def _one_table(kind: str, change: Callable[[Table], None], fits: TableTest) -> Twin[Database]:
    """A twin in which the record of one fitting table is changed."""

    def differ(_one: Start[Database], two: Start[Database], rng: Random) -> tuple[Entity, ...]:
        fitting = list(filter(fits, two.state.facts.tables.values()))
        if not fitting:
            return ()
        table = rng.choice(fitting)
        change(table)
        return ((table.name,),)

    return Twin(kind, READ, differ)


def _two_tables(kind: str, left: TableTest, right: TableTest, *fields: str) -> Twin[Database]:
    """A twin in which two tables, one of either sort, exchange these entries."""

    def differ(_one: Start[Database], two: Start[Database], rng: Random) -> tuple[Entity, ...]:
        tables = list(two.state.facts.tables.values())
        lefts, rights = list(filter(left, tables)), list(filter(right, tables))
        if not lefts or not rights:
            return ()
        first, second = rng.choice(lefts), rng.choice(rights)
        exchange(first, second, *fields)
        return (first.name,), (second.name,)

    return Twin(kind, READ, differ)


def _move_slow_column(_one: Start[Database], two: Start[Database], rng: Random) -> tuple[Entity, ...]:
    """Another live table needs the index."""
    slow = two.state.facts.slow()
    live = [table for table in two.state.facts.tables.values() if not table.stale and table is not slow]
    other = rng.choice(live)
    slow.slow_column, other.slow_column = "", rng.choice(other.lookup_columns)
    return (slow.name,), (other.name,)


def _is_other_stale(table: Table) -> bool:
    return table.stale and not (table.drop_order or table.referenced_by)


def _is_plain_stale(table: Table) -> bool:
    return _is_other_stale(table) and not table.foreign_keys


def _is_plain_live(table: Table) -> bool:
    return not table.stale and not table.slow_column and not table.foreign_keys


def _set_rows(table: Table) -> None:
    table.rows += 1_234


def _set_last_access(table: Table) -> None:
    if table.stale:
        table.last_access_days += 45
    else:
        table.last_access_days = 7 - table.last_access_days


def _set_slow_column(table: Table) -> None:
    table.slow_column = next(column for column in table.lookup_columns if column != table.slow_column)


def _set_foreign_key(table: Table) -> None:
    # The key alone changes, not what the table it refers to says: so the analysis of that one is compared.
    table.foreign_keys = tuple(f"{key.partition(' ')[0]} -> elsewhere.id" for key in table.foreign_keys)


TWINS: tuple[Twin[Database], ...] = (
    _two_tables("stale", _is_plain_stale, _is_plain_live, "last_access_days"),
    _one_table("last access", _set_last_access, lambda _table: True),
    _one_table("rows", _set_rows, lambda _table: True),
    _one_table("foreign key", _set_foreign_key, lambda table: bool(table.foreign_keys)),
    _two_tables("referenced by", lambda table: bool(table.referenced_by), _is_other_stale, "referenced_by"),
    _one_table("slow column", _set_slow_column, lambda table: bool(table.slow_column)),
    Twin("slow table", READ, _move_slow_column),
    _two_tables("drop order", lambda table: table.drop_order, _is_plain_stale, "drop_order"),
)


def redraw(start: Start[Database]) -> Scenario[Database]:
    """The scenario, from the facts and the name of the database."""
    database, name = start.state.facts, start.state.knowledge.tables["database"]
    return world.presented(database, name)

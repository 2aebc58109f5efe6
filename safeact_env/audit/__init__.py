"""The proof: each promise of the environment as a check that anyone can run, on any task.

Owns the list of audits. One module per promise; each has a broken task in the tests that it must catch.
"""

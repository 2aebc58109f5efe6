"""Episodes that outlive a request: ids, retries, expiry, grading, and the stores of their logs.

Owns episodes between requests. Must not know HTTP, or the rules of a task.
"""

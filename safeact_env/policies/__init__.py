"""The reference policies, which see only what an agent sees."""

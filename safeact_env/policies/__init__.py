"""The reference policies (the rulers of the environment), which see only what an agent sees."""

"""The pages that people open in a browser: /demo, and OpenEnv's page at /web.

Owns static files, HTML and their security policies. Must not know facts or rules: pages show what agents see.
"""

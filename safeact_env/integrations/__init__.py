"""Ways into libraries that train and measure: one module per library, imported by who uses it.

Owns nothing itself. A module here must not import its library before it is used, and never the server.
"""

"""The package version, the single place where it is written."""

VERSION = "1.0.0"

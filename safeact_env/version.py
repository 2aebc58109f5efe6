"""The package version, the single place where it is written."""

VERSION = "2.0.0"

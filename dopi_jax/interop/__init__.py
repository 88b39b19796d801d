"""Bridges to other frameworks' files."""

"""Drawings without anything of a run in them: shapes, colours, axes, marks and panels."""

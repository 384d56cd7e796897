"""Searching the fields of a recipe for those that give most on validation images."""

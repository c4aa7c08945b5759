"""Texts as comparable words."""

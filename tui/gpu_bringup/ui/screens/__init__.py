"""Screens that cover the whole terminal or lie over it as a dialog."""

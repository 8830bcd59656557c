"""Saves: what a running system is made of as one document, and the way back."""

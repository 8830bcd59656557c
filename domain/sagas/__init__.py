"""Sagas: what a program writes, the plan that is read from it, and the owner that it becomes."""

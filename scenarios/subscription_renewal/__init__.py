"""Subscriptions that are charged every month for a year; a charge that fails is tried again after 1, 3 and 7 days, and then they end.

`subscriptions` is the module, `script` a year of three customers as it is told, `simulated` the same under faults.
"""

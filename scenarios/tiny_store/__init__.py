"""A small web shop as four modules that know each other's events only: orders, inventory, payments, shipments.

`events` is what they say to each other; each module has a file of its own with its state, commands and intents; `ours` names what this
store has beyond the event flows that it was drawn from. `providers` stands in for the outside world, with ledgers of its own.
"""

"""Order fulfilment: a process that follows an order of the Tiny Store from payment to the customer's door, and says when it stands still.

`fulfilment` is the process, `script` the story that is told of it, `simulated` the same under faults.
"""

"""Travel booking: hotel, flight and car are all booked, or none is; and a holiday, of which such a trip is one step.

`trip` and `holiday` are the two sagas, `agencies` stands in for the outside world, with ledgers of its own; `script` is a story to be
told, `simulated` is the same under faults.
"""

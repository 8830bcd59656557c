"""A webhook's receiver: deliveries that come twice, in any order, or while the ledger is down, are each posted once and in order."""

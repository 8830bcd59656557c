"""One owner: a module with its private state, its turns, its executions and what is parked of it."""

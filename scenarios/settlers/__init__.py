"""A colony of settlers as three owners, Work, Needs and Navigation, whose intents compete for each settler's one queue of actions.

`land`, `paths`, `levels`, `agenda` and `rules` are plain data and arithmetic; `events` is what the owners say to each other, `actions` what
settlers do, tick by tick; each owner has a file of its own; `system` puts them together and `colony` drives them, step by step.
"""

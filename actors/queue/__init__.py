"""The queue: who is served, in which order, at which rate, and performing what is served."""

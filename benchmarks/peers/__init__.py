"""The same three durable steps on other libraries, each run in a process of its own; what they guarantee differs from ours."""

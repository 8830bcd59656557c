"""An agent that calls tools in a loop, as they are built around language models; a scripted one stands in for the model."""

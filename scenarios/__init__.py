"""Complete example systems on Tallystick, on its public face alone."""

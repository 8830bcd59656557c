"""Complete example systems on Tallystick, on its public face and `tallystick.testing` alone."""

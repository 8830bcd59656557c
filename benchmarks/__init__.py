"""Measurements of whole orders: by the hand-written floor, and by Tallystick. Ratios between the two count, not the figures themselves."""

"""Operations: their events, what these are folded into, the owner that decides on them, timelines and explanations."""

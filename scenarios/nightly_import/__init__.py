"""A long import of a file, which goes on after a crash where it stood: no line is lost, and none is there twice."""

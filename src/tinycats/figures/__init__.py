"""Images for people: grids of samples, captioned sheets, confusion matrices."""

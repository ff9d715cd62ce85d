"""How a photo is looked at: in batches, at its true scale, in tiles or several times."""

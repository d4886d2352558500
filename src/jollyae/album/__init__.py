"""The photo album: documents about photos in a store that may replicate, and the pages that show them."""

"""What access delivers: a zip with every record, the originals, a manifest and a page to read it all."""

"""Reading what people really have: folders, zips, pictures, boxes, downloads, near-duplicates and folds."""

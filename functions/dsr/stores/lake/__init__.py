"""Data lakes on S3: found file by file, erased by writing files anew (`store.LakeStore`)."""

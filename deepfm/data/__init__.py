"""Raw click files to encoded datasets."""

"""Where the rows and the bytes of a data set come from: label files, folders, archives."""

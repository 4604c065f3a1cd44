"""What lies in a folder, to be compared."""


def contents(folder, *, but=""):
    """Return the bytes of every file by its path in the folder; `but`: a pattern to leave out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not (but and path.match(but))
    }

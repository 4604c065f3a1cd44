"""A stand-in for processes that take longer to start than their work takes."""


class SameProcess:
    """Does in this process what an `IsolatedProcess` does in its own."""

    def call(self, function, argument):
        return function(argument)

    def ask_to_end(self):
        """Nothing: no signal reaches the work."""

    def close(self):
        """Nothing is left over."""

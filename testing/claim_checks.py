"""Image stores for producers under test."""


class RefusingClaimChecks:
    """A claim-check store for images that all fit into their messages: storing one fails the test."""

    def put(self, data: bytes) -> str:
        """Fail the test."""
        raise AssertionError(f"an image of {len(data)} bytes was to be stored")

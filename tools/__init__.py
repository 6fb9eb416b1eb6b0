"""Looking at what was learned, and at what is being learned."""

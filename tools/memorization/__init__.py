"""Does a generator invent its images or copy them? Distances, a yardstick for them, and tests.

`features` turns images into vectors, `statistics` turns distances into answers, `report` writes
them down.
"""

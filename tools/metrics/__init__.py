"""How near generated images come to real ones, in figures that can be compared.

One module a metric, each usable on plain arrays; `registry` knows their names, and `measurement`
feeds all that are wanted from one pass over each side.
"""
